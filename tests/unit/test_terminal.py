"""What a run shows in a terminal, wide, narrow or none at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tasks.core.benchmark_models import BenchmarkRun, PatternTiming
from tasks.core.comparison import compare
from tasks.core.comparison_tables import sentence
from tasks.core.models import Finding, Outcome, PreflightReport, State, StepRecord
from tasks.core.run_report import RunReport
from tasks.recorder import StepLog, listening
from tasks.terminal import watching

LONGEST_NAME = "campaign_status_aggregation"


def measured(architecture: Any, *times: float) -> BenchmarkRun:
    return BenchmarkRun(
        run_id="00000000-0000-0000-0000-000000000000",
        architecture_type=architecture,
        measured_at="2026-01-01T00:00:00+00:00",
        server_version="18.1",
        campaigns=2_000,
        domains=200_000,
        rounds=len(times),
        patterns=[PatternTiming(name=LONGEST_NAME, category="campaign_queries", times_ms=list(times), blocks=123_456)],
    )


def ended(message: str) -> RunReport:
    noisy = measured("dual", 1000.0, 2000.0, 3000.0, 40_000.0, 50_000.0)
    return RunReport(
        run_id="00000000-0000-0000-0000-000000000000",
        outcome=Outcome.SUCCEEDED,
        message=message,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:01:00+00:00",
        database_name="campaigns",
        schema_name="public",
        address="someone@localhost:5432/campaigns",
        tool_version="0.1.0",
        comparison=compare(noisy, measured("phases_based", 900.0, 2000.0, 3500.0, 30_000.0, 60_000.0), target=40),
    )


def shown(width: int, run: RunReport, *, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(width=width, file=file, force_terminal=terminal, color_system=None, highlight=False)
    with watching(console, console) as screen:
        screen.run_ended(run, {"json": Path("/reports/report.json")}, well=True)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_comparison_is_shown_whole_in_an_ordinary_and_in_a_wide_terminal(width: int) -> None:
    text = shown(width, ended("Migrated."))

    assert "…" not in text
    for expected in (LONGEST_NAME, "before ms", "improved", "inconclusive", "/reports/report.json"):
        assert expected in text
    assert max(map(len, text.splitlines())) <= width


def test_the_headline_is_said_once() -> None:
    run = ended("Migrated.")
    assert run.comparison is not None
    headline = sentence(run.comparison.headline)

    assert " ".join(shown(200, run).split()).count(headline) == 1
    assert " ".join(shown(200, ended(f"Migrated. {headline}")).split()).count(headline) == 1


@pytest.mark.parametrize("terminal", [False, True])
def test_a_path_is_never_broken_over_two_lines(terminal: bool) -> None:  # noqa: FBT001 - a case of the test
    path = "/" + "a-long-way-down/" * 12 + "report"
    file = io.StringIO()
    console = Console(width=80, file=file, force_terminal=terminal, color_system=None, highlight=False)
    with watching(console, console) as screen, listening(screen):
        steps = StepLog()
        with steps.step("report"):
            steps.detail(path)

    assert path in file.getvalue()


def test_a_run_that_only_looked_shows_each_warning_in_a_line_of_its_own() -> None:
    def warning(number: int) -> Finding:
        return Finding(
            code="w", severity="warning", message=f"thing {number} [is] odd", remedy="Look.", keys=["a", "b"]
        )

    found = PreflightReport(
        state=State.LEGACY, server_version="18.1", server_version_num=180001, schema_name="public", users_table=None,
        campaigns=0, domains=0, migration_version=None, migration_dirty=False, findings=[warning(1), warning(2)], census=[],
    )  # fmt: skip
    looked = ended("Nothing was changed.").model_copy(update={"outcome": Outcome.PLANNED, "preflight": found})

    assert "warning  Thing 1 [is] odd [a, b]. Look.\nwarning  Thing 2 [is] odd [a, b]. Look.\n" in shown(80, looked)
    assert "warning" not in shown(80, looked.model_copy(update={"outcome": Outcome.SUCCEEDED}))


def test_what_went_wrong_stands_on_the_other_stream() -> None:
    out, err = io.StringIO(), io.StringIO()
    run = ended("The gate failed.").model_copy(update={"outcome": Outcome.FAILED, "comparison": None})
    with watching(Console(width=80, file=out), Console(width=80, file=err)) as screen:
        screen.step_ended(StepRecord(name="validation", state="failed", seconds=1.0, attempts=1, detail="2 of 9"))
        screen.run_ended(run, {}, well=False)

    assert "validation failed (1.0 s): 2 of 9" in out.getvalue()
    assert "failed" in out.getvalue()
    assert err.getvalue() == "The gate failed.\n"
