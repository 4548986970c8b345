"""The compatibility view: campaigns as it was, legacy columns computed from the phases and the kept values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tasks.core import sql_files
from tasks.core.database import Connection

VIEW = "campaigns_with_legacy_columns"
REMARK = f"COMMENT ON VIEW {VIEW} IS 'phases migration: campaigns with the legacy columns, computed from the phases'"
PHASES_COLUMNS = (
    "current_phase",
    "phase_status",
    "progress",
    "domains",
    "leads",
    "dns_validated_domains",
    "http_validated_domains",
)


@dataclass(frozen=True)
class Compatibility:
    """The view's statement, and expressions by legacy column; `{row}` in them is the qualifier of the row."""

    view_statement: str
    kept: Mapping[str, str]
    inverse: Mapping[str, str]


async def compose(connection: Connection, schema: str, campaigns: int) -> Compatibility:
    """Write the view for this database. The mapping functions must be there.

    Args:
        campaigns: the oid of the table.
    """
    added = await _added_columns(connection)
    row = await connection.fetchrow(sql_files.query("compose_compatibility"), campaigns, schema, VIEW, added)
    assert row is not None
    return Compatibility(
        view_statement=row["view_statement"], kept=json.loads(row["kept"]), inverse=json.loads(row["inverse"])
    )


async def _added_columns(connection: Connection) -> list[str]:
    """Columns of the migration's own: an object that read campaigns before never saw them."""
    if not await connection.fetchval(
        "SELECT to_regclass(format('%I.migration_saved_objects', current_schema())) IS NOT NULL"
    ):
        return []
    rows = await connection.fetch(
        "SELECT identity FROM migration_saved_objects WHERE kind = 'added column'"
        " UNION ALL SELECT identity || '_before_000035' FROM migration_saved_objects WHERE kind = 'phases column'"
    )
    return [row["identity"] for row in rows]


@asynccontextmanager
async def plain_names(connection: Connection) -> AsyncIterator[None]:
    """With nothing on the search path the server writes every name in full."""
    path = await connection.fetchval("SELECT current_setting('search_path')")
    await connection.execute("SET search_path = ''")
    try:
        yield
    finally:
        await connection.execute("SELECT set_config('search_path', $1, false)", path)
