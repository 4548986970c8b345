"""000035 and 000036 on a live database: everything slow beforehand, then the files themselves, in moments."""

from __future__ import annotations

from tasks.core import collisions, errors, golang_migrate, indexes, locks, run, sql_files, state
from tasks.core.database import Connection, Database
from tasks.core.dependents import move_dependents
from tasks.core.duplicates_online import drop_duplicates
from tasks.core.models import LockHold
from tasks.core.progress import Progress
from tasks.core.rebuilds import rebuild_grown
from tasks.core.settings import LockLimits, MigrateParameters
from tasks.core.translation import translated
from tasks.core.watch import watched_vacuum

CONTRACT, INDEXES = 35, 36
DEFAULT_PREDECESSOR = 34
# What a file locks against writers by itself.
LOCKED_BY_FILE = {
    (CONTRACT, "up"): {"campaigns": "ACCESS EXCLUSIVE"},
    (CONTRACT, "down"): {"generated_domains": "ACCESS EXCLUSIVE", "campaigns": "ACCESS EXCLUSIVE"},
    (INDEXES, "down"): {"generated_domains": "ACCESS EXCLUSIVE", "campaigns": "ACCESS EXCLUSIVE"},
}


async def apply_core_migrations(
    database: Database, parameters: MigrateParameters, run_id: str, progress: Progress
) -> list[LockHold]:
    """Validate the constraints and build the indexes with writers at work, then run 000035 and 000036.

    What is to be done is read from the catalog: whoever ran 000035 or a part of the work, it is not done again.

    Returns: how long each lock that keeps writers out was held.

    Raises:
        StepFailed, LockNotGranted: nothing of the statement that they name was applied.
        VersionUnclear: golang-migrate's table does not fit what is there, and a person must look.
        ConnectionLost: calling it again goes on from what is done.
    """
    holds: list[LockHold] = []
    schema, limits = parameters.schema_name, parameters.locks
    remedy = "Nothing of the failed statement was applied; run again, it goes on from what is done."
    async with run.work_session(database, schema, run_id, "core migrations") as connection:
        with translated("core migrations", remedy):
            await state.refuse_way_back(connection, "core migrations")
            await locks.set_limits(connection, limits, locks=False)
            # A golang-migrate at work is waited for before anything else; its locks are not held during index builds.
            async with golang_migrate.locked(connection, wait_seconds=limits.lock_wait_limit_seconds):
                await _check_version(connection, parameters)
            if await connection.fetchval(sql_files.query("has_legacy_columns")):
                await _prepare_constraints(connection, parameters, run_id, holds, progress)
                holds += await move_dependents(database, schema, limits, run_id, progress)
            holds += await collisions.keep_aside(connection, limits, run_id)
            await indexes.build(database, schema, limits, run_id, progress, holds)
            holds += await drop_duplicates(database, schema, limits, run_id, progress, keep=parameters.keep_duplicates)
            await rebuild_grown(database, schema, limits, run_id, progress)
            async with golang_migrate.locked(connection, wait_seconds=limits.lock_wait_limit_seconds):
                await _run_files(connection, parameters, run_id, holds, progress)
            await locks.set_limits(connection, limits, locks=False)
            async with watched_vacuum(database, connection, progress):
                for table in ("campaigns", "generated_domains"):
                    # An index-only scan reads the table for every page that vacuum has not marked.
                    await connection.execute(f"VACUUM (ANALYZE) {table}")
    return holds


async def _prepare_constraints(
    connection: Connection, parameters: MigrateParameters, run_id: str, holds: list[LockHold], progress: Progress
) -> None:
    async def before(inside: Connection) -> None:
        await run.note(inside, run_id, "core-migrations", "check constraints added, not valid yet")

    progress("check constraints", 0, None)
    tables = {"campaigns": "ACCESS EXCLUSIVE"}
    done = await connection.fetchrow(sql_files.query("read_transform_progress"))
    assert done is not None
    if not done["checked"]:
        await locks.under_lock(
            connection,
            "migration_add_checks()",
            {},
            "SELECT migration_add_checks()",
            parameters.locks,
            holds,
            locked_inside=tables,
            before=before,
        )
    await locks.set_limits(connection, parameters.locks, locks=False)
    await connection.execute("SELECT migration_validate_checks()")
    await run.note(connection, run_id, "core-migrations", "check constraints validated")


async def _check_version(connection: Connection, parameters: MigrateParameters) -> tuple[int, bool] | None:
    """Read golang-migrate's version, while its locks are held.

    Raises:
        VersionUnclear: if it is dirty, above ours, another predecessor than expected, or ahead of what is there.
    """
    current = await golang_migrate.read_version(connection)
    if current is None:
        return None
    version, dirty = current
    legacy = await connection.fetchval(sql_files.query("has_legacy_columns"))
    predecessor = parameters.expected_version or DEFAULT_PREDECESSOR
    if dirty:
        settled = predecessor if legacy else CONTRACT
        reason = "golang-migrate refuses to work on a dirty version, and so does this"
        remedy = f"Find out what failed. If nothing else is amiss, `migrate force {settled}` says so; then run again."
    elif version > INDEXES:
        reason = "000035 and 000036 are not both in place below it"
        remedy = "Find out who skipped them; this does not work beneath later migrations."
    elif legacy and version >= CONTRACT:
        reason = "yet the legacy columns are there"
        remedy = (
            f"Find out who wrote it. If nothing else is amiss, `migrate force {predecessor}` says so; then run again."
        )
    elif version < CONTRACT and version != predecessor:
        reason = f"the version before 000035 should be {predecessor}"
        remedy = f"Migrate to {predecessor} first, or say --expected-version {version}."
    else:
        return current
    raise errors.VersionUnclear(
        schema=parameters.schema_name, version=version, dirty=", dirty" if dirty else "", reason=reason, remedy=remedy
    )


async def _run_files(
    connection: Connection, parameters: MigrateParameters, run_id: str, holds: list[LockHold], progress: Progress
) -> None:
    if parameters.create_version_table:
        predecessor = parameters.expected_version or DEFAULT_PREDECESSOR
        await golang_migrate.create_version_table(connection, predecessor)
    current = await _check_version(connection, parameters)
    if current is not None and current[0] < CONTRACT:
        await connection.execute(sql_files.query("save_predecessor"), str(current[0]))
    if await connection.fetchval(sql_files.query("has_legacy_columns")):
        progress(f"migration {CONTRACT:06d}", 0, 2)
        await run_migration(connection, CONTRACT, "up", CONTRACT, parameters.locks, run_id, holds)
    # Always, and in moments where its indexes are there: only the file itself knows whether all that it makes is.
    progress(f"migration {INDEXES:06d}", 1, 2)
    await run_migration(connection, INDEXES, "up", INDEXES, parameters.locks, run_id, holds)


async def run_migration(
    connection: Connection,
    version: int,
    direction: str,
    version_after: int | None,
    limits: LockLimits,
    run_id: str,
    holds: list[LockHold],
) -> None:
    """Run one migration file in one transaction, with golang-migrate's version and the line in the ledger.

    A file that is whole or nothing leaves no dirty version behind: whoever looks finds the one before or the one after. What the
    file has to tidy up is left to the caller, for a transaction of its own: nobody need wait for it.

    Args:
        version_after: what golang-migrate's table says afterwards; None leaves it as it is.
    """

    async def before(inside: Connection) -> None:
        if version_after is not None:
            await golang_migrate.write_version(inside, version_after)
        await run.note(inside, run_id, "core-migrations", f"{version:06d} {direction}")

    text = sql_files.migration(version, direction)
    text = text.replace(sql_files.blocks(text).get("tidy", ""), "")
    tables = LOCKED_BY_FILE.get((version, direction), {})
    await locks.under_lock(
        connection, f"{version:06d} {direction}", {}, text, limits, holds, locked_inside=tables, before=before
    )
