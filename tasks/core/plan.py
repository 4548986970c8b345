"""What apply would do to this database: every statement, its lock, who waits for it, and what it may cost."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tasks.core import sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.models import PlannedStatement
from tasks.core.settings import MigrateParameters

# A sorted index entry takes several times the work of reading its row; measured at 2M rows: between 2 and 4.
INDEX_BUILD_FACTOR = 3.0
SAMPLE_PERCENT = 2.0
WRITERS, EVERYBODY, NOBODY = "writers", "everybody", "nobody"
EXCLUSIVE, SHARE_ROW, SHARE_UPDATE, ROW = (
    "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE",
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """What the expectations are computed from. Bytes, rows and bytes per second."""

    campaigns_bytes: int
    domains_bytes: int
    campaigns: int
    database_bytes: int
    scan_rate: float

    def scan(self, size: int) -> float:
        """Seconds to read so many bytes in order."""
        return round(size / self.scan_rate, 2)


async def make_plan(database: Database, parameters: MigrateParameters) -> list[PlannedStatement]:
    """The plan for this database, computed from its sizes and from how fast it is read right now. Changes nothing."""
    async with connect(database, schema=parameters.schema_name, purpose="plan") as connection:
        sizes = await _measure(connection)
        legacy = await connection.fetchval(sql_files.query("has_legacy_columns"))
        indexes = await _indexes_to_build(connection)
    lines = [*(_transform(sizes) if legacy else []), *(_constraints(sizes) if legacy else [])]
    lines += [_index(table, definition, sizes) for table, definition in indexes]
    if legacy:
        lines.append(
            ("core-migrations", "000035_eliminate_dual_architecture.up.sql", EXCLUSIVE, "campaigns", EVERYBODY, 0.05, 0)
        )
    lines.append(("core-migrations", "000036_optimize_phases_indexes.up.sql", ROW, "campaigns", NOBODY, 0.05, 0))
    vacuum = sizes.scan(sizes.campaigns_bytes + sizes.domains_bytes)
    lines.append(
        ("core-migrations", "VACUUM (ANALYZE) campaigns, generated_domains", SHARE_UPDATE, "both", NOBODY, vacuum, 0)
    )
    return [
        PlannedStatement(
            position=position, step=step, statement=statement, lock=lock, relation=relation, blocks=blocks,
            expected_seconds=seconds, expected_bytes=size,
        )
        for position, (step, statement, lock, relation, blocks, seconds, size) in enumerate(lines, start=1)
    ]  # fmt: skip


Line = tuple[str, str, str, str, str, float, int]


def _transform(sizes: Sizes) -> list[Line]:
    copy = sizes.scan(sizes.campaigns_bytes)
    step, moment = "transform", 0.02
    return [
        (
            "backup",
            "pg_dump",
            "ACCESS SHARE",
            "every table",
            NOBODY,
            sizes.scan(sizes.database_bytes),
            sizes.database_bytes // 4,
        ),
        (
            step,
            "SELECT migration_backup_campaigns()",
            "ACCESS SHARE",
            "campaigns",
            NOBODY,
            2 * copy,
            2 * sizes.campaigns_bytes,
        ),
        (
            step,
            "SELECT migration_expand_columns(), migration_install_sync()",
            EXCLUSIVE,
            "campaigns",
            EVERYBODY,
            moment,
            0,
        ),
        (
            step,
            "SELECT migration_install_metrics()",
            SHARE_ROW,
            "generated_domains",
            WRITERS,
            moment,
            64 * sizes.campaigns,
        ),
        (
            step,
            "SELECT migration_count_metrics()",
            "ACCESS SHARE",
            "generated_domains",
            NOBODY,
            sizes.scan(sizes.domains_bytes),
            0,
        ),
        (
            step,
            "SELECT migration_fill_batch(...)",
            ROW,
            "campaigns",
            "the rows of one batch",
            3 * copy,
            sizes.campaigns_bytes,
        ),
    ]


def _constraints(sizes: Sizes) -> list[Line]:
    step = "core-migrations"
    return [
        (step, "SELECT migration_add_checks()", EXCLUSIVE, "campaigns", EVERYBODY, 0.02, 0),
        (
            step,
            "SELECT migration_validate_checks()",
            SHARE_UPDATE,
            "campaigns",
            NOBODY,
            sizes.scan(sizes.campaigns_bytes),
            0,
        ),
    ]


def _index(table: str, definition: str, sizes: Sizes) -> Line:
    size = sizes.campaigns_bytes if table == "campaigns" else sizes.domains_bytes
    statement = definition.replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1)
    return (
        "core-migrations",
        statement,
        SHARE_UPDATE,
        table,
        NOBODY,
        round(INDEX_BUILD_FACTOR * sizes.scan(size), 2),
        size // 4,
    )


async def _measure(connection: Connection) -> Sizes:
    row = await connection.fetchrow(sql_files.query("measure_tables"))
    assert row is not None
    domains_bytes = row["domains_bytes"] + int(row["partition_bytes"] or 0)
    began = time.monotonic()
    await connection.fetchval(sql_files.query("count_domain_sample"), SAMPLE_PERCENT)
    seconds = max(time.monotonic() - began, 1e-3)
    return Sizes(
        campaigns_bytes=row["campaigns_bytes"],
        domains_bytes=domains_bytes,
        campaigns=row["campaigns_counted"],
        database_bytes=row["database_bytes"],
        scan_rate=max(domains_bytes * SAMPLE_PERCENT / 100 / seconds, 1e6),
    )


async def _indexes_to_build(connection: Connection) -> list[tuple[str, str]]:
    """Read the list of 000036 through the server itself, in a transaction that is rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(sql_files.blocks(sql_files.migration(36, "up"))["index_definitions"])
        rows = await connection.fetch(sql_files.query("list_missing_indexes"))
        return [(row["table_name"], row["definition"]) for row in rows if not (row["valid"] and row["same"])]
    finally:
        await transaction.rollback()
