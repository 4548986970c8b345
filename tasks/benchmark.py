"""Steps 3 and 8: the ten patterns before and after, and what the difference is worth."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tasks import publish, recorder
from tasks.core import benchmark as core
from tasks.core import benchmark_answers as answers
from tasks.core import benchmark_history
from tasks.core import comparison as comparisons
from tasks.core import comparison_tables as tables
from tasks.core import report_pages as pages
from tasks.core import trend as trends
from tasks.core.benchmark import Ground
from tasks.core.benchmark_models import BenchmarkInputs, BenchmarkRun, Comparison, Trend
from tasks.core.checks_page import answers_page
from tasks.core.database import Database
from tasks.core.errors import NotComparable, RegressionFound, TargetMissed
from tasks.core.models import AnswerCheck, CheckResult
from tasks.core.settings import BenchmarkParameters, MigrateParameters, QuarterlyParameters
from tasks.gates import hold_gate, tally
from tasks.steps import step

Before: TypeAlias = BenchmarkRun | Ground | None  # what was measured on the legacy model, or where it can be


@dataclass(frozen=True)
class Measured:
    """What a comparison is made of.

    Attributes:
        before: None where nothing was measured on the legacy model.
        differing: patterns whose answers were not the same, with the first row that differs.
    """

    before: BenchmarkRun | None
    after: BenchmarkRun
    differing: Mapping[str, str] = field(default_factory=dict)


@step("benchmark-before")
async def measure_before(
    database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs, ground: Ground
) -> Before:
    """Time the patterns on the legacy model; where a copy of it is kept, both models are timed in turn later on.

    Returns:
        What was measured, or where it can be.
    """
    if ground.clone is not None:
        await core.settle(ground.reads, parameters.schema_name)
        recorder.current_run().detail(
            "the copy is vacuumed and analyzed; both states are timed in turn when both are there"
        )
        return ground
    measured = await _measure(database, parameters, inputs, ground)
    recorder.current_run().note(before=measured)
    return measured


@step("benchmark-before")
async def recall_before(database: Database, parameters: BenchmarkParameters) -> BenchmarkRun | None:
    """What an earlier run measured on the legacy model, for one that comes after the legacy columns went, or has waited."""
    run = recorder.current_run()
    measured = await benchmark_history.last_run(database, parameters.schema_name, "dual")
    run.note(before=measured)
    run.detail(f"as measured at {measured.measured_at}" if measured else "nothing was measured before")
    return measured


@step("benchmark-after")
async def measure_after(
    database: Database,
    parameters: BenchmarkParameters,
    inputs: BenchmarkInputs,
    before: Before,
    ground: Ground,
) -> Measured:
    """Time the patterns on the phases model; with a copy of the legacy one, both in turn."""
    if isinstance(before, Ground):
        return await _measure_pair(database, parameters, inputs, before, ground)
    after = await _measure(database, parameters, inputs, ground)
    recorder.current_run().note(after=after)
    return Measured(before, after)


@step("benchmark")
async def measure_now(
    database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs, ground: Ground
) -> BenchmarkRun:
    """Time the patterns on whichever model the database has, and publish the times."""
    measured = await _measure(database, parameters, inputs, ground)
    role = {"before": measured} if measured.architecture_type == "dual" else {"after": measured}
    recorder.current_run().note(**role)
    return measured


@step("benchmark")
async def measure_pair(
    database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs, grounds: tuple[Ground, Ground]
) -> Measured:
    """Time two states in turn: a restored backup and the database, or two copies of the database."""
    return await _measure_pair(database, parameters, inputs, *grounds)


@step("benchmark-inputs")
async def draw_inputs(database: Database, parameters: BenchmarkParameters) -> BenchmarkInputs:
    """Draw users, campaigns and dates from the data, for before and after alike.

    A run that goes on after it has waited asks what it asked before.
    """
    run = recorder.current_run()
    if run.approval is not None:
        measured = await benchmark_history.last_run(database, parameters.schema_name, "dual")
        if measured is not None and measured.inputs is not None:
            run.detail("as before the run waited")
            return measured.inputs
    drawn = await core.draw_inputs(database, parameters.schema_name, seed=parameters.benchmark_seed)
    run.detail(f"{len(drawn.user_ids)} users, {len(drawn.campaign_ids)} campaigns, seed {drawn.seed}")
    return drawn


@step("answers")
async def compare_answers(
    database: Database, parameters: MigrateParameters, inputs: BenchmarkInputs
) -> list[AnswerCheck]:
    """Ask both models the same questions while both are live: a gate.

    Raises:
        GateFailed: if a pattern's answers differ.
    """
    run = recorder.current_run()
    checks = await answers.compare_answers(
        database, parameters.schema_name, inputs, benchmark_writes=parameters.benchmark_writes
    )
    run.note_extra(answers=[check.model_dump(mode="json") for check in checks])
    run.detail(tally(checks))
    run.answers = checks
    await publish.page("answers", answers_page(tally(checks), checks), "The same question to both models")
    await hold_gate("answers", checks, database, parameters)
    return checks


@step("comparison")
async def compare(measured: Measured, database: Database, parameters: BenchmarkParameters) -> Comparison | None:
    """Judge after against before, and publish the table and the page: a gate, if both states were to answer alike.

    Returns:
        None where there is nothing to compare with, or where the two runs cannot be compared; the step says why.

    Raises:
        GateFailed: if a pattern's answers differ and nothing explains it.
    """
    return await _compare(measured, database, parameters)


@step("comparison")
async def compare_with_legacy(
    database: Database, parameters: BenchmarkParameters, measured: BenchmarkRun
) -> Comparison | None:
    """Judge a run on the phases model against the last one on the legacy model that the database remembers."""
    if measured.architecture_type == "dual":
        recorder.current_run().detail("left out: this is the legacy model")
        return None
    before = await benchmark_history.last_run(database, parameters.schema_name, "dual")
    if before is not None:
        recorder.current_run().note(before=before)
    return await _compare(Measured(before, measured), database, parameters)


async def _compare(measured: Measured, database: Database, parameters: BenchmarkParameters) -> Comparison | None:
    run = recorder.current_run()
    if measured.before is None:
        run.detail("left out: nothing was measured on the legacy model")
        return None
    try:
        comparison = comparisons.compare(
            measured.before, measured.after, parameters.target_improvement, differing=measured.differing
        )
    except NotComparable as error:
        # The migration is good all the same. The step and the summary say it, and require_target fails on it.
        run.detail(str(error))
        return None
    run.note(comparison=comparison)
    headline = comparison.headline
    interval = f"{headline.low:.1f}% to {headline.high:.1f}%"
    run.detail(f"{headline.improvement_percent:.1f}% less time ({interval}): {headline.verdict.replace('_', ' ')}")
    await publish.table("comparison-table", tables.as_records(comparison), "Before and after")
    charts = await asyncio.to_thread(pages.comparison_charts, measured.before, measured.after, comparison)
    await publish.page("comparison", tables.as_markdown(comparison) + charts, "Before and after, with the verdicts")
    await hold_gate("comparison", _answer_checks(measured), database, parameters)
    return comparison


@step("trend")
async def compare_with_past(database: Database, parameters: QuarterlyParameters, measured: BenchmarkRun) -> Trend:
    """Set this run beside the baseline and the last runs, draw the trend and name what has become slower."""
    run = recorder.current_run()
    architecture = measured.architecture_type
    past = await benchmark_history.past_runs(database, parameters.schema_name, architecture, latest=trends.POINTS)
    trend = await asyncio.to_thread(trends.make_trend, [one for one in past if one.run_id != measured.run_id], measured)
    run.note(trend=trend)
    run.detail(trends.summary(trend))
    chart = await asyncio.to_thread(pages.trend_chart, trend)
    await publish.page("trend", trends.as_markdown(trend) + chart, "The benchmark over time")
    return trend


def require_no_regression(trend: Trend, parameters: QuarterlyParameters) -> None:
    """Let a run pass if nothing has become slower, or if that is not asked for.

    Raises:
        RegressionFound: names the patterns, with what they do more and how their plans have changed.
    """
    if parameters.fail_on_regression and trend.regressions:
        named = "; ".join(one.sentence for one in trend.regressions)
        raise RegressionFound(count=len(trend.regressions), regressions=named)


def require_target(comparison: Comparison | None, parameters: MigrateParameters) -> None:
    """Let a run pass if the target is met, or is not required.

    Raises:
        TargetMissed: with the figures.
    """
    if not parameters.require_target:
        return
    target = parameters.target_improvement
    if comparison is None:
        raise TargetMissed(improvement=math.nan, target=target, verdict="before and after could not be compared")
    headline = comparison.headline
    if headline.verdict != "met":
        raise TargetMissed(improvement=headline.improvement_percent, target=target, verdict=headline.verdict)


async def _measure(
    database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs, ground: Ground
) -> BenchmarkRun:
    run = recorder.current_run()
    await _settle(parameters, ground)
    measured = await core.measure(
        database,
        parameters.schema_name,
        rounds=parameters.benchmark_rounds,
        seed=parameters.benchmark_seed,
        benchmark_writes=parameters.benchmark_writes,
        run_id=run.run_id,
        parameters=inputs,
        progress=run.progress,
        ground=ground,
    )
    timed = [pattern for pattern in measured.patterns if pattern.times_ms]
    run.detail(f"{measured.architecture_type}, {len(timed)} patterns timed in {measured.rounds} rounds")
    await publish.table(
        "benchmark", tables.measured_records(measured), f"Times of the patterns, {measured.architecture_type}"
    )
    return measured


async def _measure_pair(
    database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs, before: Ground, after: Ground
) -> Measured:
    run = recorder.current_run()
    await _settle(parameters, before, after)
    is_control = after.clone is not None
    pair = await core.measure_paired(
        before,
        after,
        parameters.schema_name,
        rounds=parameters.benchmark_rounds,
        seed=parameters.benchmark_seed,
        run_id=run.run_id,
        keep_in=None if is_control else database,
        parameters=inputs,
        progress=run.progress,
    )
    run.note(before=pair.before, after=pair.after)
    timed = [pattern for pattern in pair.after.patterns if pattern.times_ms]
    what = "two copies" if is_control else f"{pair.before.architecture_type} and {pair.after.architecture_type}"
    run.detail(f"{what} in turn, {len(timed)} patterns timed in {pair.after.rounds} rounds")
    await publish.table(
        "benchmark", tables.measured_records(pair.after), f"Times of the patterns, {pair.after.architecture_type}"
    )
    return Measured(pair.before, pair.after, _unexplained(pair.differing, parameters, run))


def _unexplained(
    differing: Mapping[str, str], parameters: BenchmarkParameters, run: recorder.Recorder
) -> Mapping[str, str]:
    """The answers that nothing written between two states explains."""
    if isinstance(parameters, QuarterlyParameters) and parameters.before_backup is not None:
        return {}
    # Where both models gave the same answer in one snapshot, a difference now comes from what was written since.
    proven = {check["name"] for check in run.extra.get("answers", []) if check["status"] == "PASS"}
    return {name: row for name, row in differing.items() if name not in proven}


async def _settle(parameters: BenchmarkParameters, *grounds: Ground) -> None:
    progress = recorder.current_run().progress
    places = [place for ground in grounds for place in (ground.reads, ground.writes) if place is not None]
    for place in {place.database: place for place in places}.values():
        await core.settle(place, parameters.schema_name, progress)


def _answer_checks(measured: Measured) -> list[CheckResult]:
    return [
        CheckResult(suite=answers.SUITE, name=name, status="FAIL", details=row)
        for name, row in measured.differing.items()
    ]
