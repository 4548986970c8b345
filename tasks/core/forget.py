"""The end of a migration: its backup tables go when the team is sure."""

from __future__ import annotations

from tasks.core import locks, run, sql_files
from tasks.core.database import Database
from tasks.core.models import Model
from tasks.core.settings import LockLimits


class ForgetReport(Model):
    """Which tables are, or were, dropped."""

    tables: list[str]
    bytes: int


async def forget_backups(database: Database, schema: str, limits: LockLimits, run_id: str) -> ForgetReport:
    """Drop the backup tables of this schema. The pg_dump, the reports and what the way back needs are not touched."""
    async with run.work_session(database, schema, run_id, "forget") as connection:
        tables = await connection.fetch(sql_files.query("list_backup_tables"))
        await locks.set_limits(connection, limits)
        for table in tables:
            await connection.execute(table["drop_statement"])
            await run.note(connection, run_id, "forget", f"dropped {table['name']}")
    return ForgetReport(tables=[table["name"] for table in tables], bytes=sum(table["bytes"] for table in tables))
