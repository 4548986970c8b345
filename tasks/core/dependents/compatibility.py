"""The compatibility view: campaigns as it was, legacy columns computed from the phases and the kept values.

Where campaigns has row level security there are two of them. One is read with the rights of the table's owner, as views are: it
stands in for campaigns within views whose owner sees every row anyway. The other is read with the rights of whoever reads it: for
policies, functions and views with security_invoker.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tasks.core import sql_files
from tasks.core.database import Connection

VIEW, READER_VIEW = "campaigns_with_legacy_columns", "campaigns_with_legacy_columns_as_reader"
REMARK = "phases migration: campaigns with the legacy columns, computed from the phases"
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


async def compose(connection: Connection, schema: str, campaigns: int, view: str = VIEW) -> Compatibility:
    """Write the view for this database. The mapping functions must be there.

    Args:
        campaigns: the oid of the table.
        view: which of the two.
    """
    added = await _added_columns(connection)
    row = await connection.fetchrow(
        sql_files.query("compose_compatibility"), campaigns, schema, view, added, view == READER_VIEW
    )
    assert row is not None
    return Compatibility(
        view_statement=row["view_statement"], kept=json.loads(row["kept"]), inverse=json.loads(row["inverse"]),
    )  # fmt: skip


async def statements(
    connection: Connection, schema: str, campaigns: int, view: str, owners: Sequence[int]
) -> AsyncIterator[str]:
    """What makes one of the two views, one statement after another: each must be executed before the next is asked for.

    Args:
        owners: the oids of roles that own views over it.
    """
    if view == READER_VIEW:
        yield await connection.fetchval(sql_files.query("compose_kept_values"), schema)
        yield await connection.fetchval(
            "SELECT format('REVOKE ALL ON FUNCTION %I.migration_kept_values(uuid) FROM PUBLIC', $1::text)", schema
        )
    yield (await compose(connection, schema, campaigns, view)).view_statement
    yield await connection.fetchval("SELECT format('COMMENT ON VIEW %I IS %L', $1::text, $2::text)", view, REMARK)
    for row in await connection.fetch(
        sql_files.query("compose_compatibility_grants"), campaigns, schema, view, view == READER_VIEW, owners
    ):
        yield row["statement"]


async def is_there(connection: Connection, view: str) -> bool:
    """Whether this one of the two views has been made."""
    found: bool = await connection.fetchval(
        "SELECT to_regclass(format('%I.%I', current_schema(), $1::text)) IS NOT NULL", view
    )
    return found


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
