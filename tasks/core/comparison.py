"""Before against after: which runs may be compared, what each pattern gained, and the tables that show it."""

from __future__ import annotations

import statistics as medians
from pathlib import Path

import pandas as pd

from tasks.core import errors
from tasks.core.benchmark_patterns import STATISTICS
from tasks.core.models import BenchmarkRun, ComparedPattern, Comparison, Headline, PatternTiming
from tasks.core.statistics import FEWEST_TIMES, Improvement, improvement, mean_improvement, verdict, verdicts

COLUMNS = [
    "name", "category", "before_ms", "after_ms", "improvement_percent", "low", "high", "status", "before_blocks",
    "after_blocks", "note",
]  # fmt: skip
VOLUME_TOLERANCE = 0.01
VISIBILITY_TOLERANCE = 20.0  # percent points of all-visible pages


def compare(before: BenchmarkRun, after: BenchmarkRun, target: float, *, seed: int = 1) -> Comparison:
    """Set two runs side by side.

    :param target: improvement in percent that the verdicts are about.
    :param seed: of the resampling.
    :raises NotComparable: if the server's version, a setting or the inputs differ, or no pattern was timed in both.
    """
    _refuse_incomparable(before, after)
    others = {pattern.name: pattern for pattern in after.patterns}
    pairs = [(one, others[one.name]) for one in before.patterns if one.name in others]
    timed = [(one, other) for one, other in pairs if min(len(one.times_ms), len(other.times_ms)) >= FEWEST_TIMES]
    if not timed:
        raise errors.NotComparable(differences=f"no pattern was timed {FEWEST_TIMES} times in both")
    improvements = [improvement(one.times_ms, other.times_ms, target=target, seed=seed) for one, other in timed]
    names = [one.name for one, _ in timed]
    judged = dict(zip(names, zip(improvements, verdicts(improvements), strict=True), strict=True))
    return Comparison(
        headline=_headline(timed, improvements, target, seed),
        patterns=[_compared(one, other, judged.get(one.name)) for one, other in pairs],
        notes=_notes(before, after, pairs),
    )


def _refuse_incomparable(before: BenchmarkRun, after: BenchmarkRun) -> None:
    differences = []
    if before.server_version != after.server_version:
        differences.append(f"server version {before.server_version} and {after.server_version}")
    differences += [
        f"{name} = {before.settings.get(name)} and {after.settings.get(name)}"
        for name in sorted(before.settings.keys() | after.settings.keys())
        if before.settings.get(name) != after.settings.get(name)
    ]
    if before.inputs is not None and after.inputs is not None and before.inputs != after.inputs:
        differences.append("the patterns were asked about other users or campaigns")
    if differences:
        raise errors.NotComparable(differences="; ".join(differences))


def _headline(
    timed: list[tuple[PatternTiming, PatternTiming]], improvements: list[Improvement], target: float, seed: int
) -> Headline:
    mean = mean_improvement([(one.times_ms, other.times_ms) for one, other in timed], target=target, seed=seed)
    total_before = sum(medians.median(one.times_ms) for one, _ in timed)
    total_after = sum(medians.median(other.times_ms) for _, other in timed)
    worst = min(range(len(timed)), key=lambda index: improvements[index].percent)
    return Headline(
        improvement_percent=mean.percent,
        low=mean.low,
        high=mean.high,
        verdict=verdict(mean, target=target),
        target_percent=target,
        total_time_improvement_percent=100 * (1 - total_after / total_before),
        worst_pattern=timed[worst][0].name,
    )


def _compared(one: PatternTiming, other: PatternTiming, judged: tuple[Improvement, str] | None) -> ComparedPattern:
    note = ""
    if one.skipped or other.skipped:
        status, note = "skipped", one.skipped or other.skipped or ""
    elif judged is None:
        status = "recorded"
        note = "" if one.name == STATISTICS else f"fewer than {FEWEST_TIMES} rounds"
    else:
        status = judged[1]
        if one.answer != other.answer:
            note = "the answer was another one after: data were written in between, or the forms disagree"
    figures = judged[0] if judged else None
    return ComparedPattern(
        name=one.name,
        category=one.category,
        before_ms=medians.median(one.times_ms) if one.times_ms else None,
        after_ms=medians.median(other.times_ms) if other.times_ms else None,
        improvement_percent=figures.percent if figures else None,
        low=figures.low if figures else None,
        high=figures.high if figures else None,
        status=status,
        before_blocks=one.blocks,
        after_blocks=other.blocks,
        note=note,
    )


def _notes(before: BenchmarkRun, after: BenchmarkRun, pairs: list[tuple[PatternTiming, PatternTiming]]) -> list[str]:
    notes = []
    for name, one, other in (
        ("campaigns", before.campaigns, after.campaigns),
        ("domains", before.domains, after.domains),
    ):
        if abs(one - other) > VOLUME_TOLERANCE * max(one, 1):
            notes.append(
                f"The number of {name} differs by more than {VOLUME_TOLERANCE:.0%}: {one:,} before, {other:,} after. "
                "The figures compare different amounts of data."
            )
    names = {one.name for one, _ in pairs}
    notes += [
        f"{pattern.name} was measured in one of the runs only."
        for run in (before, after)
        for pattern in run.patterns
        if pattern.name not in names
    ]
    tables_before = {row["table_name"]: row for row in before.statistics}
    for row in after.statistics:
        earlier = tables_before.get(row["table_name"], {})
        visible = [float(side.get("all_visible_percent") or 0) for side in (earlier, row)]
        if earlier and abs(visible[0] - visible[1]) > VISIBILITY_TOLERANCE:
            notes.append(
                f"{row['table_name']} was not in the same state of maintenance: {visible[0]:.0f}% of its pages were "
                f"all-visible before, {visible[1]:.0f}% after. Index-only scans depend on it; VACUUM before measuring."
            )
        if row.get("last_analyze") is None:
            notes.append(f"{row['table_name']} has no statistics: run ANALYZE before measuring.")
    return notes


def as_frame(comparison: Comparison) -> pd.DataFrame:
    """One row per pattern in the order of the benchmark; times in ms, improvements and bounds in percent.

    :returns: the columns of `COLUMNS`; figures that do not exist are missing values.
    """
    rows = [pattern.model_dump() for pattern in comparison.patterns]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(
        {
            **dict.fromkeys(("before_ms", "after_ms", "improvement_percent", "low", "high"), "Float64"),
            **dict.fromkeys(("before_blocks", "after_blocks"), "Int64"),
        }
    )


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
        "| pattern | category | before (ms) | after (ms) | improvement | 95% interval | verdict | blocks | after |",
        "|---|---|---:|---:|---:|---:|---|---:|---:|",
    ]
    for one in comparison.patterns:
        figures = (
            f"{one.improvement_percent:.1f}% | {one.low:.1f}% to {one.high:.1f}%"
            if one.improvement_percent is not None and one.low is not None and one.high is not None
            else "- | -"
        )
        lines.append(
            f"| {one.name} | {one.category} | {number(one.before_ms)} | {number(one.after_ms)} | {figures} "
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
