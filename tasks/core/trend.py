"""The runs of one architecture over time: beside the baseline, and what has become slower since."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tasks.core.benchmark_models import BenchmarkRun, ComparedPattern, Comparison, Regression, Trend, TrendPoint
from tasks.core.comparison import compare, differences, grown_counts, growth
from tasks.core.errors import NotComparable

POINTS = 12
TWICE = 2.0


def make_trend(past: Sequence[BenchmarkRun], now: BenchmarkRun) -> Trend:
    """Set a run beside those before it.

    A regression is a pattern that is slower by the clock, beyond the noise and beyond what more data explain, and that
    does more work or has another plan than in the baseline or in the last run that can be compared; or one that reads
    sequentially, and twice as much at least, what it read by an index: that repeats exactly, where the clock of a busy
    machine may miss it. What is slower by the clock alone is a suspect: a busy machine does that, too.

    Args:
        past: oldest first; the first is the baseline.
    """
    runs = [*past, now]
    baseline = runs[0]
    regressions: dict[str, Regression] = {}
    suspects: list[str] = []
    compared: list[str] = []
    for earlier in _worth_comparing(past, now):
        try:
            found = compare(earlier, now, target=0.0)
        except NotComparable:  # no pattern was timed in both
            continue
        compared.append(earlier.measured_at)
        grown = max(1.0, growth(earlier, now))
        for one in [one for one in found.patterns if one.change == "slower" or _lost_its_index(one, grown)]:
            regressions.setdefault(one.name, _regression(one, earlier, now))
        suspects += [sentence for sentence in _suspects(found, earlier) if sentence not in suspects]
    return Trend(
        architecture_type=now.architecture_type,
        points=[_point(baseline, run) for run in runs],
        regressions=list(regressions.values()),
        suspects=suspects,
        compared_with=compared,
    )


def summary(trend: Trend) -> str:
    """What the trend says, in a sentence or two."""
    if not trend.compared_with:
        if len(trend.points) == 1:
            return "It is the first run on this model: the baseline that later ones are compared with."
        why = trend.points[-1].why_not or trend.points[-2].why_not or "no pattern was timed in both"
        return f"No earlier run can be compared: {why}."
    dates = " and ".join(dict.fromkeys(moment[:10] for moment in trend.compared_with))
    if trend.regressions:
        listed = "; ".join(one.sentence for one in trend.regressions)
        count = len(trend.regressions)
        return f"{count} {'regression' if count == 1 else 'regressions'} since {dates}: {listed}."
    doubt = (
        f" Slower by the clock alone, with the same work and plan: {'; '.join(trend.suspects)}."
        if trend.suspects
        else ""
    )
    return f"No regression since {dates}.{doubt}"


def as_markdown(trend: Trend) -> str:
    """The trend as a page, without its chart."""
    lines = [f"**{summary(trend)}**", "", "| measured | domains | times | blocks | |", "|---|---:|---:|---:|---|"]
    for number, point in enumerate(trend.points):
        ratio = f"{point.ratio:.2f}" if point.ratio is not None else "-"
        blocks = f"{point.blocks_ratio:.2f}" if point.blocks_ratio is not None else "-"
        remark = "baseline" if number == 0 else "" if point.comparable else f"not comparable: {point.why_not}"
        measured = point.measured_at[:16].replace("T", " ")
        lines.append(f"| {measured} | {point.domains:,} | {ratio} | {blocks} | {remark} |")
    lines += [
        "",
        "Times and blocks as ratios to the baseline: the geometric mean over the patterns, below 1 is better.",
    ]
    for one in trend.regressions:
        lines += ["", f"### {one.name}", "", f"{one.sentence}."]
        if one.plan_diff:
            lines += ["", "```diff", one.plan_diff, "```"]
    return "\n".join(lines) + "\n"


def _worth_comparing(past: Sequence[BenchmarkRun], now: BenchmarkRun) -> list[BenchmarkRun]:
    """The baseline and the last run, as far as they can be compared with this one."""
    good = [run for run in past if not differences(run, now)]
    return good if len(good) < 2 else [good[0], good[-1]]  # noqa: PLR2004 - the first and the last


def _lost_its_index(one: ComparedPattern, grown: float) -> bool:
    return (
        one.plan_change == "critical"
        and one.change in {"same", "unsure"}
        and bool(grown_counts(one.before_work, one.after_work, allowed=TWICE * grown))
    )


def _regression(one: ComparedPattern, earlier: BenchmarkRun, now: BenchmarkRun) -> Regression:
    assert one.improvement_percent is not None
    assert one.high is not None
    before, after = (next(p for p in run.patterns if p.name == one.name) for run in (earlier, now))
    counts = grown_counts(before.work, after.work, allowed=max(1.0, growth(earlier, now)))
    return Regression(
        name=one.name,
        since=earlier.measured_at,
        time_ratio=1 - one.improvement_percent / 100,
        low_ratio=1 - one.high / 100,
        work=", ".join(counts) or "it does no more work",
        plan_change=one.plan_change,
        plan_diff=one.plan_diff,
    )


def _suspects(found: Comparison, earlier: BenchmarkRun) -> list[str]:
    return [
        f"{one.name} ({-one.improvement_percent:.0f}% more than on {earlier.measured_at[:10]})"
        for one in found.patterns
        if one.change == "unsure" and one.improvement_percent is not None and one.improvement_percent < 0
    ]


def _point(baseline: BenchmarkRun, run: BenchmarkRun) -> TrendPoint:
    why = differences(baseline, run)
    medians = {one.name: statistics.median(one.times_ms) for one in run.patterns if one.times_ms}
    first = {one.name: statistics.median(one.times_ms) for one in baseline.patterns if one.times_ms}
    blocks = {one.name: float(one.blocks) for one in run.patterns if one.blocks}
    first_blocks = {one.name: float(one.blocks) for one in baseline.patterns if one.blocks}
    return TrendPoint(
        run_id=run.run_id,
        measured_at=run.measured_at,
        domains=run.domains,
        comparable=not why,
        why_not="; ".join(why),
        ratio=_mean_ratio(first, medians),
        blocks_ratio=_mean_ratio(first_blocks, blocks),
        medians_ms=medians,
    )


def _mean_ratio(first: dict[str, float], now: dict[str, float]) -> float | None:
    logarithms = [math.log(now[name] / first[name]) for name in first if name in now]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None
