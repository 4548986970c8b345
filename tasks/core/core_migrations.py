"""000035 and 000036 on a live database: everything slow beforehand, then the files themselves, in moments."""

from __future__ import annotations

import asyncpg

from tasks.core import errors, golang_migrate, indexes, locks, run, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.models import LockHold
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits, MigrateParameters

CONTRACT, INDEXES = 35, 36
DEFAULT_PREDECESSOR = 34


async def apply_core_migrations(
    database: Database, parameters: MigrateParameters, run_id: str, progress: Progress
) -> list[LockHold]:
    """Validate the constraints and build the indexes with writers at work, then run 000035 and 000036.

    Returns: how long each lock that keeps writers out was held.

    Raises:
        StepFailed, LockNotGranted: nothing of the statement that they name was applied.
    """
    holds: list[LockHold] = []
    schema, limits = parameters.schema_name, parameters.locks
    async with connect(database, schema=schema, purpose="core migrations") as connection:
        try:
            if await connection.fetchval(sql_files.query("has_legacy_columns")):
                await _prepare_constraints(connection, parameters, run_id, holds, progress)
            await indexes.build(database, schema, limits, run_id, progress)
            async with golang_migrate.locked(connection, wait_seconds=limits.lock_wait_limit_seconds):
                await _run_files(connection, parameters, run_id, holds, progress)
            progress("statistics", 0, None)
            await locks.set_limits(connection, limits, locks=False)
            for table in ("campaigns", "generated_domains"):
                # An index-only scan reads the table for every page that vacuum has not marked.
                await connection.execute(f"VACUUM (ANALYZE) {table}")
        except asyncpg.PostgresError as error:
            raise errors.StepFailed(
                step="core migrations",
                sqlstate=error.sqlstate,
                reason=" ".join(filter(None, (str(error), getattr(error, "hint", None)))),
                remedy="Nothing of the failed statement was applied; run again, it goes on from what is done.",
            ) from error
    return holds


async def _prepare_constraints(
    connection: Connection, parameters: MigrateParameters, run_id: str, holds: list[LockHold], progress: Progress
) -> None:
    async def add_checks(inside: Connection) -> None:
        await inside.execute("SELECT migration_add_checks()")
        await run.note(inside, run_id, "core-migrations", "check constraints added, not valid yet")

    progress("check constraints", 0, None)
    tables = {"campaigns": "ACCESS EXCLUSIVE"}
    await locks.under_lock(connection, "migration_add_checks()", tables, add_checks, parameters.locks, holds)
    await locks.set_limits(connection, parameters.locks, locks=False)
    await connection.execute("SELECT migration_validate_checks()")
    await run.note(connection, run_id, "core-migrations", "check constraints validated")


async def _run_files(
    connection: Connection, parameters: MigrateParameters, run_id: str, holds: list[LockHold], progress: Progress
) -> None:
    current = await golang_migrate.read_version(connection)
    if current is not None and current[0] < CONTRACT:
        await connection.execute(sql_files.query("save_predecessor"), str(current[0]))
    for version in (CONTRACT, INDEXES):
        if current is not None and current[0] >= version and not current[1]:
            continue
        progress(f"migration {version:06d}", version - CONTRACT, 2)
        await run_migration(connection, version, "up", version, parameters.locks, run_id, holds)


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

    A file that is whole or nothing leaves no dirty version behind: whoever looks finds the one before or the one after.

    Args:
        version_after: what golang-migrate's table says afterwards; None leaves it as it is.
    """

    async def work(inside: Connection) -> None:
        await inside.execute(sql_files.migration(version, direction))
        if version_after is not None:
            await golang_migrate.write_version(inside, version_after)
        await run.note(inside, run_id, "core-migrations", f"{version:06d} {direction}")

    await locks.under_lock(connection, f"{version:06d} {direction}", {}, work, limits, holds)
