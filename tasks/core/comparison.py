"""Before against after: which runs may be compared, what each pattern gained, and what weakens the figures."""

from __future__ import annotations

import statistics as medians
from collections.abc import Mapping

from tasks.core import errors
from tasks.core.benchmark_models import (
    BenchmarkRun,
    Change,
    ComparedPattern,
    Comparison,
    Headline,
    PatternTiming,
    PlanChange,
    Work,
)
from tasks.core.benchmark_patterns import STATISTICS
from tasks.core.models import Verdict
from tasks.core.plan_shape import diff, plan_change
from tasks.core.statistics import (
    FEWEST_TIMES,
    Improvement,
    changes,
    improvement,
    mean_improvement,
    verdict,
    verdicts,
)

VOLUME_TOLERANCE = 0.01
VISIBILITY_TOLERANCE = 20.0  # percent points of all-visible pages
STALE_SHARE = 0.1  # of the rows changed since ANALYZE: what autovacuum takes for stale
# Counts of work repeat to the unit on a quiet database; a page split or a hint bit may add a few.
COUNT_TOLERANCE, COUNT_SLACK = 0.02, 8
WRITTEN = "rows were written in between, by the application or by the transform, which settles domain statuses"


def compare(
    before: BenchmarkRun,
    after: BenchmarkRun,
    target: float,
    *,
    seed: int = 1,
    differing: Mapping[str, str] | None = None,
) -> Comparison:
    """Set two runs side by side.

    :param target: improvement in percent that the verdicts are about.
    :param seed: of the resampling.
    :param differing: patterns whose answers are not the same, with the first difference: their times do not count.
    :raises NotComparable: if the server's version, a setting or the inputs differ, or no pattern was timed in both.
    """
    refused = differences(before, after)
    if refused:
        raise errors.NotComparable(differences="; ".join(refused))
    wrong = differing or {}
    others = {pattern.name: pattern for pattern in after.patterns}
    pairs = [(one, others[one.name]) for one in before.patterns if one.name in others]
    timed = [
        (one, other)
        for one, other in pairs
        if min(len(one.times_ms), len(other.times_ms)) >= FEWEST_TIMES and one.name not in wrong
    ]
    if not timed:
        raise errors.NotComparable(differences=f"no pattern was timed {FEWEST_TIMES} times in both")
    paired = before.paired and after.paired and before.run_id == after.run_id
    grown = max(1.0, growth(before, after))
    improvements = [
        improvement(one.times_ms, other.times_ms, target=target, seed=seed, paired=paired, allowed=grown)
        for one, other in timed
    ]
    judged = {
        one.name: (gained, status, by_clock)
        for (one, _), gained, status, by_clock in zip(
            timed, improvements, verdicts(improvements), changes(improvements), strict=True
        )
    }
    return Comparison(
        headline=_headline(timed, improvements, target, seed, paired=paired),
        patterns=[_compared(one, other, judged.get(one.name), wrong, grown) for one, other in pairs],
        notes=_notes(before, after, pairs),
        paired=paired,
    )


def differences(before: BenchmarkRun, after: BenchmarkRun) -> list[str]:
    """Why two runs cannot be compared, in words; empty if they can."""
    found = []
    if before.server_version != after.server_version:
        found.append(f"server version {before.server_version} and {after.server_version}")
    # A setting that only one of two versions of this tool has written down tells nothing.
    common = before.settings.keys() & after.settings.keys()
    found += [
        f"{name} = {before.settings[name]} and {after.settings[name]}"
        for name in sorted(common)
        if before.settings[name] != after.settings[name]
    ]
    if before.inputs is not None and after.inputs is not None and before.inputs != after.inputs:
        found.append("the patterns were asked about other users or campaigns")
    return found


def growth(before: BenchmarkRun, after: BenchmarkRun) -> float:
    """How many times the data there are after: the larger of campaigns and domains."""
    return max(after.domains / max(before.domains, 1), after.campaigns / max(before.campaigns, 1))


def work_of(timing: PatternTiming) -> Work | None:
    """The counts of work, as far as the run has counted."""
    return timing.work or (Work(blocks=timing.blocks) if timing.blocks is not None else None)


def grown_counts(before: Work | None, after: Work | None, *, allowed: float = 1.0) -> list[str]:
    """The counts that have grown by more than `allowed` times and the tolerance, in words."""
    if before is None or after is None:
        return []
    return [
        f"{name.replace('_', ' ')} {one:,} before and {other:,} now"
        for name in ("blocks", "temp_blocks", "rows_visited", "wal_records")
        if (other := getattr(after, name))
        > (one := getattr(before, name)) * allowed * (1 + COUNT_TOLERANCE) + COUNT_SLACK
    ]


def _headline(
    timed: list[tuple[PatternTiming, PatternTiming]],
    improvements: list[Improvement],
    target: float,
    seed: int,
    *,
    paired: bool,
) -> Headline:
    times = [(one.times_ms, other.times_ms) for one, other in timed]
    mean = mean_improvement(times, target=target, seed=seed, paired=paired)
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


def _compared(
    one: PatternTiming,
    other: PatternTiming,
    judged: tuple[Improvement, Verdict, Change] | None,
    wrong: Mapping[str, str],
    allowed: float,
) -> ComparedPattern:
    works = work_of(one), work_of(other)
    more = grown_counts(*works, allowed=allowed)
    changed = plan_change(one.plan, other.plan, more_work=bool(more))
    figures = judged[0] if judged else None
    status, note = _status(one, other, judged[1] if judged else None, wrong)
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
        change=_explained(judged[2], bool(more), bool(grown_counts(works[1], works[0])), changed) if judged else None,
        before_work=one.work,
        after_work=other.work,
        plan_change=changed,
        plan_diff=diff(one.plan, other.plan) if one.plan and other.plan and changed != "same" else "",
    )


def _status(
    one: PatternTiming, other: PatternTiming, judged: Verdict | None, wrong: Mapping[str, str]
) -> tuple[str, str]:
    if one.skipped or other.skipped:
        return "skipped", one.skipped or other.skipped or ""
    if one.name in wrong:
        return "failed", f"the answers differ: {wrong[one.name]}"
    if judged is None:
        return "recorded", "" if one.name == STATISTICS else f"fewer than {FEWEST_TIMES} rounds"
    same = one.answer == other.answer
    return judged, "" if same else f"the answer was another one after: {WRITTEN}"


def _explained(by_clock: Change, more: bool, less: bool, changed: PlanChange) -> Change:  # noqa: FBT001 - two facts
    """A difference by the clock counts if a count of work or the plan explains it."""
    if by_clock == "same" or changed != "same":
        return by_clock
    return by_clock if (more if by_clock == "slower" else less) else "unsure"


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
    if before.clone is not None and before.clone.weakness:
        notes.append(f"The state before is not the untouched one: {before.clone.weakness}.")
    names = {one.name for one, _ in pairs}
    notes += [
        f"{pattern.name} was measured in one of the runs only."
        for run in (before, after)
        for pattern in run.patterns
        if pattern.name not in names
    ]
    return notes + _notes_on_tables(before, after)


def _notes_on_tables(before: BenchmarkRun, after: BenchmarkRun) -> list[str]:
    """What the planner knew and what VACUUM had left to do, where that was not the same or is old."""
    notes = []
    tables_before = {row["table_name"]: row for row in before.statistics}
    for row in after.statistics:
        table = row["table_name"]
        earlier = tables_before.get(table, {})
        visible = [float(side.get("all_visible_percent") or 0) for side in (earlier, row)]
        if earlier and abs(visible[0] - visible[1]) > VISIBILITY_TOLERANCE:
            notes.append(
                f"{table} was not in the same state of maintenance: {visible[0]:.0f}% of its pages were "
                f"all-visible before, {visible[1]:.0f}% after. Index-only scans depend on it; VACUUM before measuring."
            )
    for when, rows in (("before", before.statistics), ("after", after.statistics)):
        for row in rows:
            changed, estimated = int(row.get("changed_since_analyze") or 0), int(row.get("estimated_rows") or 0)
            if row.get("last_analyze") is None:
                notes.append(f"{row['table_name']} has no statistics {when}: run ANALYZE before measuring.")
            elif changed > STALE_SHARE * max(estimated, 1):
                notes.append(
                    f"The statistics of {row['table_name']} were stale {when}: {changed:,} of {estimated:,} rows had "
                    "changed since ANALYZE."
                )
    return notes
