"""A benchmark pattern, the values it takes, and what makes two answers the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from tasks.core import sql_files
from tasks.core.benchmark_models import BenchmarkInputs
from tasks.core.database import Connection
from tasks.core.translation import translated

Row: TypeAlias = "Sequence[Any]"  # an asyncpg Record is one

CONCURRENT = "concurrent_user_dashboards"
STATISTICS = "database_statistics"
WRITES_NOT_ALLOWED = "it writes, and benchmark_writes was not asked for on this database"

# By this the look at pg_stat_statements knows that it is not an application that uses the legacy columns.
# PostgreSQL 18 does not keep a remark ahead of the first word.
MARK = r"\g<0> /* migration_benchmark */"
_FIRST_WORD = re.compile(r"\w+")

_PARAMETER = re.compile(r"\$(\d+)")


@dataclass(frozen=True)
class Pattern:
    """One question in its two forms, as `migration_benchmark_patterns()` lists it."""

    position: int
    test_name: str
    test_category: str
    legacy_query: str
    phases_query: str
    writes: bool
    note: str

    def query(self, architecture: str) -> str:
        """The form for `dual` or `phases_based`."""
        return self.legacy_query if architecture == "dual" else self.phases_query


async def define(connection: Connection) -> None:
    """Create the results table, the comparison view and the functions that hold the patterns."""
    blocks = sql_files.blocks(sql_files.script("performance-benchmark"))
    for name in ("mappings", "benchmark_definitions"):
        await connection.execute(blocks[name])


async def list_patterns(connection: Connection) -> list[Pattern]:
    """All patterns, in their order."""
    rows = await connection.fetch(sql_files.query("list_benchmark_patterns"))
    return [Pattern(**dict(row)) for row in rows]


def refusals() -> AbstractContextManager[None]:
    """What the server refuses in the body, in our words."""
    return translated("The benchmark", "No data was changed; mend the cause and run it again.")


def bind(statement: str, inputs: BenchmarkInputs, *, user_id: UUID | None = None) -> tuple[str, list[Any]]:
    """A statement over the common parameters, for a driver that refuses gaps: those in use are numbered from $1 on.

    :param user_id: takes the place of the first drawn user.
    :returns: the statement and the values in their new order.
    """
    common: list[Any] = [
        user_id or (inputs.user_ids[0] if inputs.user_ids else None),
        inputs.reference_time,
        inputs.campaign_ids,
        inputs.campaign_id,
        inputs.bulk_domains,
        inputs.http_valid_domains,
    ]
    used = sorted({int(number) for number in _PARAMETER.findall(statement)})
    renumbered = {number: position for position, number in enumerate(used, start=1)}
    return (
        _FIRST_WORD.sub(MARK, _PARAMETER.sub(lambda match: f"${renumbered[int(match[1])]}", statement), count=1),
        [common[number - 1] for number in used],
    )


def normalise(row: Iterable[Any]) -> tuple[Any, ...]:
    """A row as values that compare and print alike whatever their driver types: 1.50 is 1.5, times are in UTC."""
    return tuple(_normal(value) for value in row)


def _normal(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal():
            return format(value.normalize(), "f")
        case float():
            return repr(value)
        case datetime():
            return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
        case _:
            return str(value)


def digest(rows: Iterable[Row]) -> str:
    """The sha256 of an answer, rows in their order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(json.dumps(normalise(row)).encode() + b"\n")
    return total.hexdigest()
