"""How much of an index is air: measured where pgstattuple is there, estimated from statistics where it is not."""

from __future__ import annotations

from typing import Literal

import asyncpg

from tasks.core import sql_files
from tasks.core.database import Connection
from tasks.core.models import Model

MEGABYTE = 1e6


class IndexBloat(Model):
    """One b-tree of the two tables or of a partition of theirs."""

    index_name: str
    bytes: int
    bloat_bytes: int
    method: Literal["pgstattuple", "an estimate from statistics"]
    remedy: str

    @property
    def percent(self) -> float:
        return 100 * self.bloat_bytes / self.bytes if self.bytes else 0.0

    @property
    def sentence(self) -> str:
        size = f"{self.bloat_bytes / MEGABYTE:,.1f} of {self.bytes / MEGABYTE:,.1f} MB"
        return f"{self.percent:.0f}% is air ({size}), by {self.method}"


async def measure_bloat(connection: Connection) -> list[IndexBloat]:
    """Every b-tree of the core tables; other kinds of index cannot be judged."""
    statement = await connection.fetchval(sql_files.query("compose_bloat_measurement"))
    if statement is not None:
        return [IndexBloat(**row, method="pgstattuple") for row in await connection.fetch(statement)]
    rows = await connection.fetch(sql_files.query("estimate_index_bloat"))
    return [IndexBloat(**row, method="an estimate from statistics") for row in rows]


def bloated(found: list[IndexBloat], *, percent: float, megabytes: float) -> list[IndexBloat]:
    """Those that are worth a rebuild: over both limits, the largest waste first."""
    over = [one for one in found if one.percent >= percent and one.bloat_bytes >= megabytes * MEGABYTE]
    return sorted(over, key=lambda one: one.bloat_bytes, reverse=True)


async def rebuild(connection: Connection, one: IndexBloat) -> tuple[bool, str]:
    """REINDEX CONCURRENTLY; whether it went well, and what it brought or why it did not."""
    try:
        await connection.execute(one.remedy)
    except asyncpg.PostgresError as error:
        return False, f"{one.remedy}: {error} ({error.sqlstate})"
    size = await connection.fetchval("SELECT pg_relation_size(to_regclass($1))", one.index_name)
    return True, f"{one.remedy}: {one.bytes / MEGABYTE:,.1f} MB before, {size / MEGABYTE:,.1f} MB now"
