"""The charts of the report: SVG text for one HTML page, the same for the same figures, readable on dark and on light.

A chart is narrow, so that its letters keep their size on a phone. Text and axes take the page's own colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tasks.core.models import BenchmarkRun, LockHold, PatternTiming, StepRecord

INK = "#010203"  # stands for the page's text colour until it is replaced
GRID = "#8a8f98"
BEFORE = "#d97706"
AFTER = "#0d9488"
WIDTH_INCHES = 5.2
ROW_INCHES = 0.44
STYLE: Any = {  # its stubs know each key; ours is an ordinary dictionary
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
STEP_COLOURS = {"completed": AFTER, "failed": "#dc2626", "skipped": GRID, "running": BEFORE}


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: its heading.
        svg: an <svg> element to be put into a page as it is.
        text: what it shows, for those who cannot see it; also its label in the element.
    """

    title: str
    svg: str
    text: str


def times_chart(before: BenchmarkRun, after: BenchmarkRun) -> Chart | None:
    """Median times of each pattern on a log scale (ms), with the middle half of the measured times.

    :returns: None if no pattern was timed in both runs.
    """
    pairs = [(one, other) for one, other in _pairs(before, after) if one.times_ms and other.times_ms]
    if not pairs:
        return None
    text = "; ".join(
        f"{one.name} {_figure(_median(one))} ms before, {_figure(_median(other))} ms after" for one, other in pairs
    )
    figure, axes = _canvas(len(pairs))
    for row, (one, other) in enumerate(pairs):
        medians = [_median(one), _median(other)]
        axes.plot(medians, [row, row], color=GRID, linewidth=1.5, zorder=1)
        for side, colour, median in ((one, BEFORE, medians[0]), (other, AFTER, medians[1])):
            low, high = np.percentile(side.times_ms, [25, 75])
            axes.plot([low, high], [row, row], color=colour, linewidth=4, alpha=0.45, solid_capstyle="butt", zorder=2)
            axes.plot([median], [row], "o", color=colour, markersize=6, zorder=3)
    _log_axis(axes, [one.name.replace("_", " ") for one, _ in pairs], "median time (ms, log scale)")
    return Chart("Times before and after", _svg(figure, "times", text), text)


def blocks_chart(before: BenchmarkRun, after: BenchmarkRun) -> Chart | None:
    """Shared blocks that one serial execution of each pattern touches, on a log scale.

    :returns: None if blocks were counted for no pattern in both runs.
    """
    pairs = _pairs(before, after)
    counted = [(one.name, one.blocks, other.blocks) for one, other in pairs if one.blocks and other.blocks]
    if not counted:
        return None
    text = "; ".join(f"{name} {one:,} blocks before, {other:,} after" for name, one, other in counted)
    figure, axes = _canvas(len(counted))
    for row, (_, one, other) in enumerate(counted):
        axes.plot([one, other], [row, row], color=GRID, linewidth=1.5, zorder=1)
        axes.plot([one], [row], "s", color=BEFORE, markersize=6, zorder=2)
        axes.plot([other], [row], "s", color=AFTER, markersize=6, zorder=3)
    _log_axis(axes, [name.replace("_", " ") for name, _, _ in counted], "shared blocks (log scale)")
    return Chart("Blocks before and after", _svg(figure, "blocks", text), text)


def steps_chart(steps: Sequence[StepRecord]) -> Chart | None:
    """The steps one after the other, in seconds since the first began; waiting between steps is left out."""
    ran = [step for step in steps if step.seconds > 0]
    if not ran:
        return None
    text = "; ".join(f"{step.name} {step.seconds:.1f} s, {step.state}" for step in ran)
    figure, axes = _canvas(len(ran))
    began = 0.0
    whole = sum(step.seconds for step in ran)
    for row, step in enumerate(ran):
        axes.barh(row, step.seconds, left=began, height=0.5, color=STEP_COLOURS[step.state])
        late = began + step.seconds > 0.8 * whole
        axes.text(
            began if late else began + step.seconds,
            row,
            f" {step.seconds:.1f} s ",
            va="center",
            ha="right" if late else "left",
            fontsize=8.5,
            color=INK,
        )
        began += step.seconds
    axes.set_xlim(0, whole)
    _rows(axes, [step.name for step in ran])
    axes.set_xlabel("seconds")
    return Chart("The steps", _svg(figure, "steps", text), text)


def locks_chart(locks: Sequence[LockHold]) -> Chart | None:
    """How long each statement kept others waiting, longest first, in ms; at most a dozen."""
    held = sorted((lock for lock in locks if lock.held_ms > 0), key=lambda lock: lock.held_ms, reverse=True)[:12]
    if not held:
        return None
    text = "; ".join(f"{lock.statement} held {lock.mode} for {lock.held_ms:.1f} ms" for lock in held)
    figure, axes = _canvas(len(held))
    for row, lock in enumerate(held):
        axes.barh(row, lock.held_ms, height=0.5, color=BEFORE if "EXCLUSIVE" in lock.mode.upper() else AFTER)
        axes.text(0, row - 0.42, f"{lock.held_ms:.1f} ms, {lock.mode}", fontsize=8.5, va="bottom", color=INK)
    _rows(axes, [_shortened(lock.statement) for lock in held])
    axes.set_xlabel("ms that the lock was held")
    return Chart("Locks", _svg(figure, "locks", text), text)


def _pairs(before: BenchmarkRun, after: BenchmarkRun) -> list[tuple[PatternTiming, PatternTiming]]:
    others = {pattern.name: pattern for pattern in after.patterns}
    return [(one, others[one.name]) for one in before.patterns if one.name in others]


def _median(pattern: PatternTiming) -> float:
    return float(np.median(pattern.times_ms))


def _canvas(rows: int) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 0.8 + ROW_INCHES * rows), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        figure.patch.set_visible(False)
    return figure, axes


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)


def _log_axis(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _figure(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _rows(axes, names)
    axes.set_xlabel(label)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _shortened(statement: str) -> str:
    words = " ".join(statement.split())
    return words if len(words) <= 28 else words[:27] + "…"  # noqa: PLR2004 - what fits beside the bars


def _svg(figure: Figure, name: str, text: str) -> str:
    drawn = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    whole = drawn.getvalue()
    element = whole[whole.index("<svg") :].replace(INK, "currentColor")
    # Several charts share a page: their ids must not meet.
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r"url\(#", f"url(#{name}-", element)
    element = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', element)
    # The page decides on the font; the size stays.
    element = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", element)
    element = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", element, count=1)
    element = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", element, count=1)
    return element.replace("<svg ", f'<svg role="img" aria-label="{_attribute(text)}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
