"""What each flow says when it ends well: what was done, what it brought, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tasks.benchmark import Measured
from tasks.core import errors
from tasks.core.benchmark_models import BenchmarkRun, Comparison, Trend
from tasks.core.comparison_tables import sentence
from tasks.core.database import Database
from tasks.core.forget import ForgetReport
from tasks.core.maintenance import MaintenanceReport
from tasks.core.metrics import MetricsReport
from tasks.core.models import CheckResult, Outcome, Plan, PreflightReport, State
from tasks.core.restore import RestoreReport
from tasks.core.rollback import RestoredData, RollbackReport
from tasks.core.trend import summary
from tasks.ending import Ending
from tasks.gates import PHRASES, tally

MODEL_NAMES = {"dual": "the legacy model", "phases_based": "the phases model"}


def standing(found: PreflightReport) -> Ending:
    """The answer to --mode status."""
    outcome = Outcome.ALREADY_MIGRATED if found.state is State.MIGRATED else Outcome.PLANNED
    hindrance = f" {len(found.blockers)} blockers would stop a migration." if found.blockers else ""
    return Ending(outcome, f"Nothing was changed. The database is {PHRASES[found.state]}.{hindrance}")


def already_migrated(found: PreflightReport) -> Ending:
    """There is nothing to migrate."""
    return Ending(
        Outcome.ALREADY_MIGRATED,
        f"Already migrated: schema {found.schema_name} has the phases model and its indexes. Nothing was changed.",
    )


def planned(found: PreflightReport, plan: Plan) -> Ending:
    """A plan was made."""
    return Ending(
        Outcome.PLANNED,
        f"Planned, nothing was changed: {len(plan.statements)} statements, about {plan.seconds:.1f} s for"
        f" {found.campaigns:,} campaigns and {found.domains:,} domains, {len(found.warnings)} warnings."
        " Run it with mode=apply (--mode apply).",
    )


def resting(found: PreflightReport) -> Ending:
    """Stopped after the transform, as asked."""
    return Ending(
        Outcome.SUCCEEDED,
        f"Both models are live: {found.campaigns:,} campaigns have phases, writers of either model are kept in step."
        " Move the application over, then run again without stop_after; flows.rollback goes back.",
    )


def awaiting_approval(database: Database, deadline: datetime) -> Ending:
    """Nothing goes on without a person's word."""
    error = errors.AwaitingApproval(database=database.database, deadline=f"{deadline:%Y-%m-%d %H:%M %Z}")
    return Ending(Outcome.AWAITING_APPROVAL, str(error), error)


def succeeded(found: PreflightReport, comparison: Comparison | None) -> Ending:
    """Migrated, validated, tested."""
    gain = sentence(comparison.headline) if comparison else "What it gained is not known: the step comparison says why."
    return Ending(
        Outcome.SUCCEEDED,
        f"Migrated: {found.campaigns:,} campaigns and {found.domains:,} domains are on the phases model, validated"
        f" and tested. {gain} Keep the backup until the team is sure; flows.rollback goes back.",
    )


def rollback_planned(database: Database, planned_: RollbackReport) -> Ending:
    """What the way back would do."""
    return Ending(
        Outcome.PLANNED,
        f"Nothing was changed. {_rows(planned_)}{_order_ahead(planned_)}"
        f" Take it back with mode=apply and confirm={database.database} (--mode apply --confirm {database.database}).",
    )


def rolled_back(database: Database, done: RollbackReport) -> Ending:
    """The way back was gone."""
    order = " The columns of campaigns stand in their former order." if done.column_order else ""
    return Ending(
        Outcome.ROLLED_BACK, f"Database {database.database} is on the legacy model again. {_rows(done)}{order}"
    )


def restored(database: Database, report: RestoreReport) -> Ending:
    """A backup stands beside the old database."""
    first, second = report.swap_statements
    return Ending(
        Outcome.SUCCEEDED,
        f"The backup is restored into database {report.database}: {report.tables} tables with {report.rows:,} rows, as the"
        f" manifest says. Database {database.database} was not touched. To swap the names, when nobody uses it: {first};"
        f" {second};",
    )


def forgotten(database: Database, report: ForgetReport) -> Ending:
    """The backup tables are gone."""
    if not report.tables:
        return Ending(Outcome.SUCCEEDED, f"Database {database.database} has no backup tables of this migration.")
    return Ending(
        Outcome.SUCCEEDED,
        f"Dropped {', '.join(report.tables)} ({report.bytes / 1e6:.1f} MB) from database {database.database}."
        " rollback-data.sql has nothing to restore from any more; the pg_dump stays where it is.",
    )


def _data(data: RestoredData) -> str:
    saved = f" Campaigns as they were until then are in {data.saved_as}." if data.saved_as else ""
    return (
        f"From the backup: {data.changed:,} campaigns changed since get their values of then, {data.deleted:,} deleted since"
        f" come back without domains, {data.created:,} were created since.{saved}"
    )


def _order_ahead(report: RollbackReport) -> str:
    if not report.column_order_hindrances:
        return ""
    return f" The exact order of columns cannot be restored: {'; '.join(report.column_order_hindrances)}."


def _rows(report: RollbackReport) -> str:
    if report.restored_data is not None:
        return _data(report.restored_data)
    since = f"{report.changed:,} changed since and {report.created:,} created since follow the inverse mapping"
    return f"{report.unchanged:,} campaigns keep every legacy value as it was; {since}."


def validated(database: Database, state: State, checks: Sequence[CheckResult]) -> Ending:
    """Every check passed."""
    return Ending(Outcome.SUCCEEDED, f"Database {database.database} is sound: {tally(checks)}. It is {PHRASES[state]}.")


def benchmarked(database: Database, measured: BenchmarkRun, trend: Trend) -> Ending:
    """The times were taken, and set beside earlier ones."""
    timed = sum(bool(pattern.times_ms) for pattern in measured.patterns)
    return Ending(
        Outcome.SUCCEEDED,
        f"Timed {timed} patterns on {MODEL_NAMES[measured.architecture_type]} of database {database.database},"
        f" {measured.rounds} rounds each. {summary(trend)} The figures are kept in migration_performance_results.",
    )


def paired(database: Database, measured: Measured, comparison: Comparison | None) -> Ending:
    """Two states were timed in turn."""
    clone = measured.after.clone
    if comparison is None:
        return Ending(Outcome.SUCCEEDED, "Timed, but the two states cannot be compared: the step comparison says why.")
    if clone is None:
        return Ending(Outcome.SUCCEEDED, sentence(comparison.headline))
    changed = [f"{one.name} {one.change}" for one in comparison.patterns if one.change in {"faster", "slower"}]
    found = f"a difference where there is none: {', '.join(changed)}" if changed else "no difference, as it must"
    headline = comparison.headline
    return Ending(
        Outcome.SUCCEEDED,
        f"Control run: two copies of database {database.database} timed in turn show {found}"
        f" ({headline.improvement_percent:+.1f}%, 95% interval {headline.low:+.1f}% to {headline.high:+.1f}%).",
    )


def maintained(database: Database, done: MaintenanceReport, metrics: MetricsReport) -> Ending:
    """Metrics and indexes were looked after."""
    return Ending(Outcome.SUCCEEDED, f"Database {database.database} is maintained. {metrics.summary} {done.summary}")
