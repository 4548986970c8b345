"""A comparison for people: as a table, as CSV, as a page, as a sentence."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.benchmark_models import BenchmarkRun, ComparedPattern, Comparison, Headline, Work
from tasks.core.plan_shape import fingerprint

if TYPE_CHECKING:
    import pandas as pd

COUNTS = tuple(Work.model_fields)
COLUMNS = [
    "name", "category", "before_ms", "after_ms", "improvement_percent", "low", "high", "status", "change", "plan_change",
    "before_blocks", "after_blocks", *(f"{side}_{count}" for count in COUNTS[1:] for side in ("before", "after")), "note",
]  # fmt: skip


def as_frame(comparison: Comparison) -> pd.DataFrame:
    """One row per pattern in the order of the benchmark; times in ms, improvements and bounds in percent.

    :returns: the columns of `COLUMNS`; figures that do not exist are missing values.
    """
    import pandas as pd  # noqa: PLC0415 - a second and 40 MB, which only a comparison needs

    frame = pd.DataFrame([_row(pattern) for pattern in comparison.patterns], columns=COLUMNS)
    return frame.astype(
        {
            **dict.fromkeys(("before_ms", "after_ms", "improvement_percent", "low", "high"), "Float64"),
            **{f"{side}_{count}": "Int64" for count in COUNTS for side in ("before", "after")},
        }
    )


def _row(pattern: ComparedPattern) -> dict[str, object]:
    row = pattern.model_dump(exclude={"before_work", "after_work", "plan_diff"})
    for side, work in (("before", pattern.before_work), ("after", pattern.after_work)):
        counts = work.model_dump() if work else dict.fromkeys(COUNTS)
        row |= {f"{side}_{count}": counts[count] for count in COUNTS[1:]}
    return row


def as_records(comparison: Comparison) -> list[dict[str, object]]:
    """The comparison as rows for a table of an artifact: what a reader looks for, in that order."""
    return [
        {
            "pattern": one.name,
            "before (ms)": one.before_ms,
            "after (ms)": one.after_ms,
            "improvement (%)": one.improvement_percent,
            "low (%)": one.low,
            "high (%)": one.high,
            "verdict": label(one),
            "change": one.change or "",
            "blocks before": one.before_blocks,
            "blocks after": one.after_blocks,
            "rows visited before": one.before_work.rows_visited if one.before_work else None,
            "rows visited after": one.after_work.rows_visited if one.after_work else None,
            "WAL records before": one.before_work.wal_records if one.before_work else None,
            "WAL records after": one.after_work.wal_records if one.after_work else None,
            "plan": one.plan_change,
        }
        for one in comparison.patterns
    ]


def measured_records(run: BenchmarkRun) -> list[dict[str, object]]:
    """One run by itself as rows for a table of an artifact."""
    return [
        {
            "pattern": one.name,
            "median (ms)": statistics.median(one.times_ms) if one.times_ms else None,
            "fastest (ms)": min(one.times_ms, default=None),
            "slowest (ms)": max(one.times_ms, default=None),
            "rounds": len(one.times_ms),
            "rows": one.rows,
            **({name.replace("_", " "): count for name, count in (one.work or Work(blocks=0)).model_dump().items()}),
            "plan": fingerprint(one.plan) if one.plan else "",
            "remark": one.skipped or one.note,
        }
        for one in run.patterns
    ]


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table; times and percentages to four decimals, which is below what the clock can tell."""
    frame.to_csv(path, index=False, float_format="%.4f")


def sentence(headline: Headline) -> str:
    """The headline in words."""
    words = {
        "met": f"The target of {headline.target_percent:g}% is met",
        "not_met": f"The target of {headline.target_percent:g}% is not met",
        "inconclusive": f"Whether the target of {headline.target_percent:g}% is met is open: measure more rounds",
    }[headline.verdict]
    return (
        f"Queries take {_less(headline.improvement_percent)} time (95% interval of the improvement {headline.low:.1f}% "
        f"to {headline.high:.1f}%; geometric mean of the patterns). {words}. In total they take "
        f"{_less(headline.total_time_improvement_percent)} time; the least gain has {headline.worst_pattern}."
    )


def _less(percent: float) -> str:
    return f"{percent:.1f}% less" if percent >= 0 else f"{-percent:.1f}% more"


def as_markdown(comparison: Comparison) -> str:
    """The comparison as a page: the headline, the table, the notes."""
    lines = [
        f"**{sentence(comparison.headline)}**",
        "",
        "| pattern | before (ms) | after (ms) | improvement | 95% interval | verdict | blocks | after |",
        "|---|---:|---:|---:|---:|---|---:|---:|",
    ]
    for one in comparison.patterns:
        figures = (
            f"{one.improvement_percent:.1f}% | {one.low:.1f}% to {one.high:.1f}%"
            if one.improvement_percent is not None and one.low is not None and one.high is not None
            else "- | -"
        )
        lines.append(
            f"| {one.name} | {number(one.before_ms)} | {number(one.after_ms)} | {figures} "
            f"| {label(one)} | {number(one.before_blocks)} | {number(one.after_blocks)} |"
        )
    lines += [f"\n> {note}" for note in comparison.notes]
    return "\n".join(lines) + "\n"


def label(one: ComparedPattern) -> str:
    """The status of a pattern in words, with its note."""
    words = one.status.replace("_", " ")
    return f"{words} ({one.note})" if one.note else words


def number(value: float | None) -> str:
    """A figure to three digits, or a dash."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
