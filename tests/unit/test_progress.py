"""What a run says of its progress: rows done, how fast, and how long it still takes."""

from __future__ import annotations

import asyncio
import io
import itertools

from rich.console import Console

from tasks.core.progress import Meter, Reached, expected
from tasks.recorder import StepLog
from tasks.terminal import LiveDisplay, PlainLines


def meter(*times: float) -> Meter:
    """One that looks at a clock which shows these times, one at each word that it hears."""
    return Meter(iter(times).__next__)


def test_the_rate_is_that_since_the_counting_began_and_the_rest_follows_from_it() -> None:
    said = meter(10.0, 10.1, 12.0, 14.0)
    assert said.heard("rows", 0, 2000) == Reached("rows", 0, 2000)
    assert said.heard("rows", 90, 2000).per_second is None  # too early to say
    assert said.heard("rows", 1000, 2000) == Reached("rows", 1000, 2000, 500.0, 2.0)
    assert said.heard("rows", 1200, 2000) == Reached("rows", 1200, 2000, 300.0, 800 / 300)


def test_what_was_done_before_is_no_part_of_the_rate_and_another_count_begins_anew() -> None:
    said = meter(0.0, 2.0, 4.0, 6.0)
    said.heard("index 1 of 4", 1000, 5000)
    assert said.heard("index 1 of 4", 2000, 5000).per_second == 500
    assert said.heard("index 2 of 4", 3000, 5000).per_second is None
    assert said.heard("index 2 of 4", 3100, 5000).per_second == 50


def test_without_a_total_nothing_is_said_of_the_time_left() -> None:
    said = meter(0.0, 2.0)
    said.heard("rows", 0, None)
    assert said.heard("rows", 3, None).figures == "3, 1.5/s"


def test_figures_are_for_people() -> None:
    assert Reached("rows", 1200, 2000, 850.4, 0.94).figures == "1,200 of 2,000, 850/s, 1 s left"
    assert Reached("rows", 5, 2_000_000, 12345.6, 162.0).figures == "5 of 2,000,000, 12,346/s, 2 min 42 s left"
    assert Reached("rows", 7, None).figures == "7"


def test_a_log_and_a_moving_display_show_rate_and_time_left() -> None:
    for display in (PlainLines, LiveDisplay):
        printed = io.StringIO()
        console = Console(file=printed, force_terminal=display is LiveDisplay, width=160)
        listener = display(console, console)
        log = StepLog()
        log.listener = listener
        with log.step("transform"):
            if isinstance(listener, PlainLines):
                listener._last_line = -100.0
            log._meter = Meter(itertools.count(0, 2).__next__)
            log.progress("campaigns filled", 0, 2000)
            if isinstance(listener, PlainLines):
                listener._last_line = -100.0
            log.progress("campaigns filled", 500, 2000)
            if isinstance(listener, LiveDisplay):
                console.print(listener.display.get_renderable())
        assert "campaigns filled" in printed.getvalue()
        assert "500 of 2,000, 250/s, 6 s left" in printed.getvalue()


async def test_what_is_only_expected_is_never_called_done() -> None:
    heard: list[tuple[str, int, int | None]] = []
    async with expected(lambda *what: heard.append(what), "domains counted, about", 1000, 0.6):
        await asyncio.sleep(1.3)
    assert heard[0] == ("domains counted, about", 0, 1000)
    assert 0 < heard[1][1] < 990
    assert heard[-1] == ("domains counted, about", 990, 1000)
