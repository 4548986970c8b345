"""Steps 3 and 8: the ten patterns before and after, and what the difference is worth."""

from __future__ import annotations

from tasks import publish, recorder
from tasks.core import benchmark as core
from tasks.core import comparison as comparisons
from tasks.core.benchmark import Inputs
from tasks.core.database import Database
from tasks.core.errors import TargetMissed
from tasks.core.models import BenchmarkRun, CheckResult, Comparison
from tasks.core.settings import BenchmarkParameters, MigrateParameters
from tasks.gates import hold_gate, tally
from tasks.steps import step


@step("benchmark-before")
async def measure_before(database: Database, parameters: BenchmarkParameters, inputs: Inputs) -> BenchmarkRun:
    """Time the patterns on the legacy model."""
    measured = await _measure(database, parameters, inputs)
    recorder.current_run().note(before=measured)
    return measured


@step("benchmark-after")
async def measure_after(database: Database, parameters: BenchmarkParameters, inputs: Inputs) -> BenchmarkRun:
    """Time the patterns on the phases model."""
    measured = await _measure(database, parameters, inputs)
    recorder.current_run().note(after=measured)
    return measured


@step("benchmark")
async def measure_now(database: Database, parameters: BenchmarkParameters, inputs: Inputs) -> BenchmarkRun:
    """Time the patterns on whichever model the database has, and publish the times."""
    measured = await _measure(database, parameters, inputs)
    role = {"before": measured} if measured.architecture_type == "dual" else {"after": measured}
    recorder.current_run().note(**role)
    return measured


@step("benchmark-inputs")
async def draw_inputs(database: Database, parameters: BenchmarkParameters) -> Inputs:
    """Draw users, campaigns and dates from the data, for before and after alike."""
    inputs = await core.draw_inputs(database, parameters.schema_name, seed=parameters.benchmark_seed)
    return inputs


@step("answers")
async def compare_answers(database: Database, parameters: MigrateParameters, inputs: Inputs) -> list[CheckResult]:
    """Ask both models the same questions while both are live: a gate.

    Raises:
        GateFailed: if a pattern's answers differ.
    """
    run = recorder.current_run()
    checks = await core.compare_answers(database, parameters.schema_name, inputs)
    run.note_extra(answers=[check.model_dump(mode="json") for check in checks])
    run.detail(tally(checks))
    await publish.models("answers", checks, "The same question to both models: one row for each pattern")
    await hold_gate("answers", checks, database, parameters)
    return checks


@step("comparison")
async def compare(before: BenchmarkRun, after: BenchmarkRun, parameters: BenchmarkParameters) -> Comparison:
    """Judge after against before, and publish the table and the page."""
    run = recorder.current_run()
    comparison = comparisons.compare(before, after, parameters.target_improvement)
    run.note(comparison=comparison)
    headline = comparison.headline
    run.detail(f"{headline.improvement_percent:.1f}% better [{headline.low:.1f}, {headline.high:.1f}], {headline.verdict}")
    rows = comparisons.as_frame(comparison).to_dict(orient="records")
    await publish.table("comparison-table", [{str(k): v for k, v in row.items()} for row in rows], "Before and after")
    await publish.page("comparison", comparisons.as_markdown(comparison), "Before and after, with the verdicts")
    return comparison


def require_target(comparison: Comparison, parameters: MigrateParameters) -> None:
    """Let a run pass if the target is met, or is not required.

    Raises:
        TargetMissed: with the figures.
    """
    headline = comparison.headline
    if parameters.require_target and headline.verdict != "met":
        raise TargetMissed(
            improvement=headline.improvement_percent, target=parameters.target_improvement, verdict=headline.verdict
        )


async def _measure(database: Database, parameters: BenchmarkParameters, inputs: Inputs) -> BenchmarkRun:
    run = recorder.current_run()
    measured = await core.measure(
        database,
        parameters.schema_name,
        rounds=parameters.benchmark_rounds,
        seed=parameters.benchmark_seed,
        benchmark_writes=parameters.benchmark_writes,
        run_id=run.run_id,
        inputs=inputs,
        progress=run.progress,
    )
    timed = [pattern for pattern in measured.patterns if pattern.times_ms]
    run.detail(f"{measured.architecture_type}, {len(timed)} patterns timed in {measured.rounds} rounds")
    await publish.models("benchmark", measured.patterns, f"Times of the patterns, {measured.architecture_type}")
    return measured
