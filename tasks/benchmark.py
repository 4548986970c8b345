"""Steps 3 and 8: the ten patterns before and after, and what the difference is worth."""

from __future__ import annotations

import math

from tasks import publish, recorder
from tasks.core import benchmark as core
from tasks.core import benchmark_answers as answers
from tasks.core import benchmark_history
from tasks.core import comparison as comparisons
from tasks.core.database import Database
from tasks.core.errors import NotComparable, TargetMissed
from tasks.core.models import BenchmarkInputs, BenchmarkRun, CheckResult, Comparison
from tasks.core.settings import BenchmarkParameters, MigrateParameters
from tasks.gates import hold_gate, tally
from tasks.steps import step


@step("benchmark-before")
async def measure_before(database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs) -> BenchmarkRun:
    """Time the patterns on the legacy model."""
    measured = await _measure(database, parameters, inputs)
    recorder.current_run().note(before=measured)
    return measured


@step("benchmark-before")
async def recall_before(database: Database, parameters: BenchmarkParameters) -> BenchmarkRun | None:
    """What an earlier run measured on the legacy model, for a run that comes after the legacy columns went."""
    run = recorder.current_run()
    measured = await benchmark_history.last_run(database, parameters.schema_name, "dual")
    run.note(before=measured)
    run.detail(f"as measured at {measured.measured_at}" if measured else "nothing was measured before")
    return measured


@step("benchmark-after")
async def measure_after(database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs) -> BenchmarkRun:
    """Time the patterns on the phases model."""
    measured = await _measure(database, parameters, inputs)
    recorder.current_run().note(after=measured)
    return measured


@step("benchmark")
async def measure_now(database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs) -> BenchmarkRun:
    """Time the patterns on whichever model the database has, and publish the times."""
    measured = await _measure(database, parameters, inputs)
    role = {"before": measured} if measured.architecture_type == "dual" else {"after": measured}
    recorder.current_run().note(**role)
    return measured


@step("benchmark-inputs")
async def draw_inputs(database: Database, parameters: BenchmarkParameters) -> BenchmarkInputs:
    """Draw users, campaigns and dates from the data, for before and after alike."""
    return await core.draw_inputs(database, parameters.schema_name, seed=parameters.benchmark_seed)


@step("answers")
async def compare_answers(
    database: Database, parameters: MigrateParameters, inputs: BenchmarkInputs
) -> list[CheckResult]:
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
    await publish.models("answers", checks, "The same question to both models: one row for each pattern")
    await hold_gate("answers", checks, database, parameters)
    return checks


@step("comparison")
async def compare(
    before: BenchmarkRun | None, after: BenchmarkRun, parameters: BenchmarkParameters
) -> Comparison | None:
    """Judge after against before, and publish the table and the page.

    Returns:
        None where there is nothing to compare with, or where the two runs cannot be compared; the step says why.
    """
    run = recorder.current_run()
    if before is None:
        run.detail("left out: nothing was measured on the legacy model")
        return None
    try:
        comparison = comparisons.compare(before, after, parameters.target_improvement)
    except NotComparable as error:
        # The migration is good all the same. The step and the summary say it, and require_target fails on it.
        run.detail(str(error))
        return None
    run.note(comparison=comparison)
    headline = comparison.headline
    interval = f"{headline.low:.1f}% to {headline.high:.1f}%"
    run.detail(f"{headline.improvement_percent:.1f}% less time ({interval}): {headline.verdict.replace('_', ' ')}")
    await publish.models("comparison-table", comparison.patterns, "Before and after")
    await publish.page("comparison", comparisons.as_markdown(comparison), "Before and after, with the verdicts")
    return comparison


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


async def _measure(database: Database, parameters: BenchmarkParameters, inputs: BenchmarkInputs) -> BenchmarkRun:
    run = recorder.current_run()
    run.progress("VACUUM (ANALYZE)", 0, None)
    await core.settle(database, parameters.schema_name)
    measured = await core.measure(
        database,
        parameters.schema_name,
        rounds=parameters.benchmark_rounds,
        seed=parameters.benchmark_seed,
        benchmark_writes=parameters.benchmark_writes,
        run_id=run.run_id,
        parameters=inputs,
        progress=run.progress,
    )
    timed = [pattern for pattern in measured.patterns if pattern.times_ms]
    run.detail(f"{measured.architecture_type}, {len(timed)} patterns timed in {measured.rounds} rounds")
    await publish.models("benchmark", measured.patterns, f"Times of the patterns, {measured.architecture_type}")
    return measured
