"""The way back: 000036 and 000035 down, and the backed-up data on request."""

from __future__ import annotations

from pydantic import Field

from tasks.core import (
    column_order,
    core_migrations,
    domain_status,
    errors,
    golang_migrate,
    locks,
    rebuilds,
    run,
    sql_files,
    state,
    way_back,
)
from tasks.core.database import Connection, Database, connect
from tasks.core.dependents import restore_dependents
from tasks.core.duplicates_online import restore_duplicates
from tasks.core.models import LockHold, Model, State
from tasks.core.progress import Progress
from tasks.core.settings import RollbackParameters
from tasks.core.translation import translated

# Where the legacy columns are gone, or not yet as they were.
PHASES_ONLY = {State.CONTRACTED, State.MIGRATED, State.RETURNING}


class RestoredData(Model):
    """What rollback-data.sql drops, or dropped: later changes to campaigns, up to 20 keys of each kind."""

    changed: int  # get their backed-up values again
    deleted: int  # come back, without their domains
    created: int  # stay, or go where that is said
    changed_keys: list[str]
    deleted_keys: list[str]
    created_keys: list[str]
    saved_as: str | None = (
        None  # the table that holds campaigns as they were until then; None where nothing was dropped
    )


class RollbackReport(Model):
    """What a rollback does, or did, to the rows of campaigns and to the statuses of domains."""

    state_before: State
    state_after: State
    unchanged: int  # get every legacy value back as it was
    changed: int  # phase or status changed since: inverse mapping
    created: int  # created since: inverse mapping
    changed_keys: list[str] = Field(default_factory=list)  # up to 20
    created_keys: list[str] = Field(default_factory=list)  # up to 20
    statuses_restored: int = 0  # domain statuses that had been taken from results, given back
    statuses_kept: int = 0  # changed since by others: they stay
    restored_data: RestoredData | None = None  # where the backed-up data was asked for
    column_order: list[str] = Field(default_factory=list)  # of campaigns, where the exact order was asked for
    column_order_hindrances: list[str] = Field(default_factory=list)  # what forbids it, where that can be known ahead
    locks: list[LockHold] = Field(default_factory=list)


async def plan_rollback(database: Database, parameters: RollbackParameters) -> RollbackReport:
    """Count what the way back would do. Changes nothing.

    Raises:
        NothingToRollBack: if the database is not migrated, not even in part.
    """
    async with connect(database, schema=parameters.schema_name, purpose="rollback plan") as connection:
        before = await _state_to_leave(connection, database, parameters)
        counted = await _count(connection, before)
        more: dict[str, object] = {}
        if parameters.restore_data:
            more["restored_data"] = await restore_data(connection, parameters, dry_run=True)
        if parameters.exact_column_order:
            more["column_order_hindrances"] = await column_order.find_hindrances(connection)
        return counted.model_copy(update=more)


async def roll_back(
    database: Database, parameters: RollbackParameters, run_id: str, progress: Progress
) -> RollbackReport:
    """Take the migration back from wherever it stands.

    Raises:
        NothingToRollBack: if the database is not migrated, not even in part.
        StepFailed, LockNotGranted: nothing of the statement that they name was applied.
        VersionUnclear: golang-migrate's table is dirty or above ours; nothing was applied.
        ConnectionLost: calling it again goes on from what is done.
    """
    holds: list[LockHold] = []
    remedy = "Nothing of the failed statement was applied; mend what it names and run the rollback again."
    order: list[str] = []
    async with run.work_session(database, parameters.schema_name, run_id, "rollback") as connection:
        before = await _state_to_leave(connection, database, parameters)
        with translated("rollback", remedy):
            await locks.set_limits(connection, parameters.locks, locks=False)
            if await connection.fetchval(sql_files.query("has_saved_objects")):
                counted = await _take_back(database, connection, parameters, before, run_id, progress, holds)
            else:
                counted = await _count(connection, before)
            await connection.execute("ANALYZE campaigns")
        after = await state.read_state(connection)
        if parameters.exact_column_order:
            order = await column_order.restore_order(database, connection, run_id, progress)
    return counted.model_copy(
        update={
            "state_after": after,
            "column_order": order,
            "locks": holds,
        }
    )


async def _take_back(
    database: Database,
    connection: Connection,
    parameters: RollbackParameters,
    before: State,
    run_id: str,
    progress: Progress,
    holds: list[LockHold],
) -> RollbackReport:
    limits = parameters.locks
    # A golang-migrate at work is waited for before anything else; its locks are not held during index builds.
    async with golang_migrate.locked(connection, wait_seconds=limits.lock_wait_limit_seconds):
        await _check_version(connection, parameters)
    await rebuilds.drop_leftovers(connection, limits)
    restored = None
    if parameters.restore_data:
        progress("restoring campaigns", 0, None)
        restored = await restore_data(connection, parameters)
    if before in PHASES_ONLY and not await connection.fetchval(sql_files.query("is_taken_back")):
        await way_back.bring_back(database, connection, limits, run_id, progress, holds)
    # Not before the legacy columns are back: from then on nothing goes up again until this has ended, while a migrated
    # database whose statuses were taken back would stay without them.
    statuses = await domain_status.restore(connection, limits, run_id, progress, holds)
    holds += await restore_duplicates(database, parameters.schema_name, limits, run_id, progress)
    await restore_dependents(connection, limits, run_id, progress, holds)
    await way_back.drop_indexes(database, connection, limits, run_id, progress)
    # Now, since writers were at work meanwhile.
    counted = await _count(connection, before)
    async with golang_migrate.locked(connection, wait_seconds=limits.lock_wait_limit_seconds):
        current = await _check_version(connection, parameters)
        await connection.execute("SELECT set_config('migration.restore_later', 'on', false)")
        await _run_files(connection, parameters, current, run_id, holds, progress)
    await way_back.tidy_up(connection, limits, run_id, progress, holds)
    await locks.set_limits(connection, limits, locks=False)
    return counted.model_copy(
        update={
            "statuses_restored": statuses.restored,
            "statuses_kept": statuses.kept,
            "restored_data": restored,
        }
    )


async def restore_data(
    connection: Connection, parameters: RollbackParameters, *, dry_run: bool = False
) -> RestoredData:
    """Run rollback-data.sql: later changes are counted, saved aside and dropped; or, as a dry run, only counted."""
    await locks.set_limits(connection, parameters.locks)
    async with connection.transaction(readonly=dry_run):
        for name, is_on in (("drop_new_campaigns", parameters.drop_new_campaigns), ("dry_run", dry_run)):
            await connection.execute(
                "SELECT set_config('migration.' || $1::text, $2, true)", name, "on" if is_on else "off"
            )
        text = sql_files.script("rollback-data")
        # What is made is handed over to the owner of campaigns; a dry run makes nothing.
        await connection.execute(text.replace(sql_files.blocks(text)["hand_over"], "") if dry_run else text)
        counts = await connection.fetchval("SELECT current_setting('migration.rollback_counts')")
    return RestoredData.model_validate_json(counts)


async def _state_to_leave(connection: Connection, database: Database, parameters: RollbackParameters) -> State:
    found = await state.read_state(connection)
    started = await connection.fetchval(sql_files.query("has_saved_objects"))
    if found is State.LEGACY and not started and parameters.exact_column_order:
        return found  # taken back before; only the order is left
    if found in {State.NO_CAMPAIGNS, State.LEGACY} and not started:
        raise errors.NothingToRollBack(database=database.database, schema=parameters.schema_name, state=found.value)
    return found


async def _count(connection: Connection, before: State) -> RollbackReport:
    statuses = await domain_status.count_restorable(connection)
    counted = {"statuses_restored": statuses.restored, "statuses_kept": statuses.kept}
    if before not in PHASES_ONLY or await connection.fetchval(sql_files.query("is_taken_back")):
        counted |= {
            "unchanged": await connection.fetchval("SELECT count(*) FROM campaigns"),
            "changed": 0,
            "created": 0,
        }
        return RollbackReport(state_before=before, state_after=before, **counted)
    row = await connection.fetchrow(sql_files.query("count_rollback_rows"))
    assert row is not None
    return RollbackReport(state_before=before, state_after=before, **counted, **dict(row))


async def _check_version(connection: Connection, parameters: RollbackParameters) -> tuple[int, bool] | None:
    """Read golang-migrate's version, while its locks are held.

    Raises:
        VersionUnclear: if it is dirty, or above ours: what was built on 000036 must go first.
    """
    current = await golang_migrate.read_version(connection)
    if current is None or (current[0] <= core_migrations.INDEXES and not current[1]):
        return current
    version, dirty = current
    if dirty:
        reason = "golang-migrate refuses to work on a dirty version, and so does this"
        remedy = (
            "Find out what failed and say `migrate force V` with the version that the database is at; then run again."
        )
    else:
        reason = f"later migrations than {core_migrations.INDEXES:06d} have been applied"
        remedy = f"Take them back first (`migrate goto {core_migrations.INDEXES}`)."
    raise errors.VersionUnclear(
        schema=parameters.schema_name, version=version, dirty=", dirty" if dirty else "", reason=reason, remedy=remedy
    )


async def _run_files(
    connection: Connection,
    parameters: RollbackParameters,
    current: tuple[int, bool] | None,
    run_id: str,
    holds: list[LockHold],
    progress: Progress,
) -> None:
    predecessor = core_migrations.DEFAULT_PREDECESSOR
    saved = await connection.fetchval(sql_files.query("read_predecessor"))
    if saved is not None:
        predecessor = int(saved)
    for version, lower in (
        (core_migrations.INDEXES, core_migrations.CONTRACT),
        (core_migrations.CONTRACT, predecessor),
    ):
        progress(f"migration {version:06d} down", core_migrations.INDEXES - version, 2)
        # A version table that never reached this version keeps what it says.
        after = lower if current is not None and current[0] >= version else None
        await core_migrations.run_migration(connection, version, "down", after, parameters.locks, run_id, holds)
