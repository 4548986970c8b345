"""The charts of a benchmark: before and after, what changed, the work behind it, indexes, and the trend over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from tasks.core.benchmark_models import BenchmarkRun, Comparison, PatternTiming, Trend
from tasks.core.report_drawing import (
    AFTER,
    BAD,
    BEFORE,
    GAP,
    GRID,
    INK,
    Chart,
    canvas,
    figure_text,
    finish,
    log_axis,
    name_rows,
)
from tasks.core.statistics import median_interval

VERDICT_COLOURS = {"met": AFTER, "not_met": BAD, "inconclusive": BEFORE}
LANE = 0.17  # how far before and after stand apart within a row
MOST_DATES = 5
SMALL_SHARE = 0.005  # of all indexes together: less is not seen in the chart


def times_chart(before: BenchmarkRun, after: BenchmarkRun) -> Chart | None:
    """Median times of each pattern on a log scale (ms), with the 95% interval of each median.

    :returns: None if no pattern was timed in both runs.
    """
    pairs = _timed(before, after)
    if not pairs:
        return None
    text = "; ".join(
        f"{one.name} {figure_text(_median(one))} ms before, {figure_text(_median(other))} ms after"
        for one, other in pairs
    )
    figure, axes = canvas(len(pairs))
    for row, pair in enumerate(pairs):
        axes.plot([_median(one) for one in pair], [row - LANE, row + LANE], color=GRID, linewidth=1, zorder=1)
        for side, colour, lane in zip(pair, (BEFORE, AFTER), (row - LANE, row + LANE), strict=True):
            low, high = median_interval(side.times_ms)
            axes.plot(
                [low, high], [lane, lane], color=colour, linewidth=3.5, alpha=0.5, solid_capstyle="butt", zorder=2
            )
            axes.plot([_median(side)], [lane], "o", color=colour, markersize=5.5, zorder=3)
    name_rows(axes, _names(pairs))
    log_axis(axes, "median time (ms, log scale)")
    return finish(figure, "times", "Times before and after", text)


def improvement_chart(comparison: Comparison) -> Chart | None:
    """The improvement of each pattern and of all together with its 95% interval, beside the target."""
    known = [one for one in comparison.patterns if one.improvement_percent is not None]
    if not known:
        return None
    headline = comparison.headline
    rows: list[tuple[str, float, float, float, str]] = [
        (one.name, one.improvement_percent or 0.0, one.low or 0.0, one.high or 0.0, one.status) for one in known
    ]
    rows.append(("all together", headline.improvement_percent, headline.low, headline.high, headline.verdict))
    text = "; ".join(f"{name} {value:.1f}% ({low:.1f}% to {high:.1f}%)" for name, value, low, high, _ in rows)
    figure, axes = canvas(len(rows))
    # A pattern that takes three times as long must not press the others into one line.
    left = max(min(low for _, _, low, _, _ in rows), -120.0)
    for row, (_, value, low, high, verdict) in enumerate(rows):
        colour = VERDICT_COLOURS.get(verdict, GRID)
        axes.plot([max(low, left), max(high, left)], [row, row], color=colour, linewidth=3.5, alpha=0.5, zorder=2)
        axes.plot([max(value, left)], [row], "o" if value >= left else "<", color=colour, markersize=5.5, zorder=3)
    axes.axvline(headline.target_percent, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.axvline(0, color=GRID, linewidth=1)
    axes.set_xlim(min(left - 3, -5), 103)
    name_rows(axes, [name.replace("_", " ") for name, *_ in rows])
    axes.set_xlabel(f"less time (%); dashed: the target of {headline.target_percent:g}%")
    return finish(figure, "improvement", "Improvement", text)


def distribution_chart(before: BenchmarkRun, after: BenchmarkRun) -> Chart | None:
    """Every measured time of each pattern (ms, log scale)."""
    pairs = _timed(before, after)
    if not pairs:
        return None
    text = "; ".join(
        f"{one.name} {_range(one)} ms before in {len(one.times_ms)} rounds, {_range(other)} ms after"
        for one, other in pairs
    )
    figure, axes = canvas(len(pairs) * 1.15)
    for row, pair in enumerate(pairs):
        for side, colour, lane in zip(pair, (BEFORE, AFTER), (row - LANE, row + LANE), strict=True):
            axes.scatter(
                side.times_ms, lane + _spread(len(side.times_ms)), s=9, color=colour, alpha=0.45, linewidths=0, zorder=2
            )
            axes.plot([_median(side)] * 2, [lane - 0.16, lane + 0.16], color=colour, linewidth=2, zorder=3)
    name_rows(axes, _names(pairs))
    log_axis(axes, "each round (ms, log scale); line: median")
    return finish(figure, "distribution", "Distribution of the times", text)


def blocks_chart(before: BenchmarkRun, after: BenchmarkRun) -> Chart | None:
    """Shared blocks that one serial execution of each pattern touches, on a log scale.

    :returns: None if blocks were counted for no pattern in both runs.
    """
    counted = [(one, other) for one, other in _pairs(before, after) if one.blocks and other.blocks]
    if not counted:
        return None
    text = "; ".join(f"{one.name} {one.blocks:,} blocks before, {other.blocks:,} after" for one, other in counted)
    figure, axes = canvas(len(counted))
    for row, (one, other) in enumerate(counted):
        axes.plot([one.blocks or 1, other.blocks or 1], [row, row], color=GRID, linewidth=1.5, zorder=1)
        axes.plot([one.blocks or 1], [row], "s", color=BEFORE, markersize=6, zorder=2)
        axes.plot([other.blocks or 1], [row], "s", color=AFTER, markersize=6, zorder=3)
    name_rows(axes, _names(counted))
    log_axis(axes, "shared blocks (log scale)")
    return finish(figure, "blocks", "Blocks before and after", text)


def index_chart(before: BenchmarkRun, after: BenchmarkRun) -> Chart | None:
    """The size of each index before and after (MB), the largest first, and all together; what is tiny stands as one."""
    sides = [{index.name: index.bytes / 2**20 for index in run.indexes} for run in (before, after)]
    sides = [_with_small_ones_together(side, sides) for side in sides]
    names = sorted({*sides[0], *sides[1]}, key=lambda name: (-max(side.get(name, 0) for side in sides), name))
    if not names or not all(sides):
        return None
    totals = [sum(side.values()) for side in sides]
    text = f"all indexes {totals[0]:,.1f} MB before, {totals[1]:,.1f} MB after; " + "; ".join(
        f"{name} {_size(sides[0], name)} before, {_size(sides[1], name)} after" for name in names
    )
    rows = [("all indexes", totals[0], totals[1]), *((name, sides[0].get(name), sides[1].get(name)) for name in names)]
    figure, axes = canvas(len(rows) * 0.85)
    largest = max(totals)
    for row, (_, *sizes) in enumerate(rows):
        for size, colour, lane in zip(sizes, (BEFORE, AFTER), (row - LANE, row + LANE), strict=True):
            if size is None:
                continue
            axes.barh(lane, size, height=0.3, color=colour)
            inside = size > 0.8 * largest
            axes.text(
                size, lane, f"{GAP}{figure_text(size)}{GAP}", va="center", ha="right" if inside else "left", fontsize=7.5,
                color="white" if inside else INK,
            )  # fmt: skip
    name_rows(axes, [name.removeprefix("idx_").replace("_", " ") for name, *_ in rows])
    axes.set_xlabel("MB")
    return finish(figure, "indexes", "Index sizes", text)


def trend_chart(trend: Trend) -> Chart | None:
    """Times and blocks of the runs as ratios to the first one; hollow where a run cannot be compared with it.

    :returns: None for a single run.
    """
    points = [point for point in trend.points if point.ratio is not None]
    if len(points) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    text = "; ".join(f"{one.measured_at}: times {one.ratio:.2f}" + _blocks_text(one.blocks_ratio) for one in points)
    dates = [datetime.fromisoformat(point.measured_at) for point in points]
    figure, axes = canvas(5)
    # Runs of one afternoon would stand on one spot.
    places: Any = dates if (dates[-1] - dates[0]).days >= len(dates) else list(range(len(dates)))
    for values, colour, name in (
        ([point.ratio for point in points], AFTER, "times"),
        ([point.blocks_ratio for point in points], BEFORE, "blocks"),
    ):
        known = [(place, value, point) for place, value, point in zip(places, values, points, strict=True) if value]
        axes.plot([place for place, *_ in known], [value for _, value, _ in known], color=colour, linewidth=1.5)
        for place, value, point in known:
            ground = colour if point.comparable else "none"
            axes.plot([place], [value], "o", color=colour, markerfacecolor=ground, markersize=6)
        if known:
            axes.annotate(f" {name}", (known[-1][0], known[-1][1]), color=colour, va="bottom", ha="right", fontsize=9)
    axes.axhline(1, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.set_ylabel("ratio to the first run (log scale)")
    axes.grid(axis="y", color=GRID, alpha=0.3, linewidth=0.6)
    if places is dates:
        locator: Any = AutoDateLocator(maxticks=MOST_DATES)  # type: ignore[no-untyped-call]  # matplotlib has no types there
        axes.xaxis.set_major_locator(locator)
        formatter: Any = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]  # the same
        axes.xaxis.set_major_formatter(formatter)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=MOST_DATES, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _moment(dates, value)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    return finish(figure, "trend", "The benchmark over time", text)


def _moment(dates: Sequence[datetime], place: float) -> str:
    number = round(place)
    return f"{dates[number]:%m-%d %H:%M}" if 0 <= number < len(dates) and abs(place - number) < 0.01 else ""  # noqa: PLR2004 - a whole number


def _blocks_text(ratio: float | None) -> str:
    return f", blocks {ratio:.2f}" if ratio is not None else ""


def _pairs(before: BenchmarkRun, after: BenchmarkRun) -> list[tuple[PatternTiming, PatternTiming]]:
    others = {pattern.name: pattern for pattern in after.patterns}
    return [(one, others[one.name]) for one in before.patterns if one.name in others]


def _timed(before: BenchmarkRun, after: BenchmarkRun) -> list[tuple[PatternTiming, PatternTiming]]:
    return [(one, other) for one, other in _pairs(before, after) if one.times_ms and other.times_ms]


def _names(pairs: Sequence[tuple[PatternTiming, PatternTiming]]) -> list[str]:
    return [one.name.replace("_", " ") for one, _ in pairs]


def _median(pattern: PatternTiming) -> float:
    return float(np.median(pattern.times_ms))


def _range(pattern: PatternTiming) -> str:
    return f"{figure_text(min(pattern.times_ms))} to {figure_text(max(pattern.times_ms))}"


def _spread(count: int) -> Any:
    """Where dots stand across their lane, so that they do not hide each other; the same for the same count."""
    return 0.13 * (2 * (np.arange(count) * 0.6180339887 % 1) - 1)


def _with_small_ones_together(side: dict[str, float], sides: Sequence[dict[str, float]]) -> dict[str, float]:
    floor = SMALL_SHARE * max(sum(one.values()) for one in sides)
    small = {name for one in sides for name in one if max(other.get(name, 0.0) for other in sides) < floor}
    kept = {name: size for name, size in side.items() if name not in small}
    together = [size for name, size in side.items() if name in small]
    return kept | ({f"{len(small)} small ones": sum(together)} if together else {})


def _size(side: dict[str, float], name: str) -> str:
    return f"{side[name]:,.1f} MB" if name in side else "not there"
