"""What the checks of preflight look at, and how they say what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import asyncpg

from tasks.core import sql_files
from tasks.core.database import Connection, Database
from tasks.core.models import CensusRow, Finding, Severity, State
from tasks.core.settings import MigrateParameters

KEYS_SHOWN = 20
TableName: TypeAlias = Literal["campaigns", "generated_domains"]
Record: TypeAlias = "asyncpg.Record"


@dataclass
class Subject:
    """One database, one schema, one run's parameters, and what has been found out so far.

    Attributes:
        session: the row of describe_session.sql.
        tables: the rows of find_core_tables.sql, by name.
        columns: each core table's columns, by name.
        users_table: schema-qualified and quoted, as SQL would name it.
        counts_rows: whether the columns are such that rows can be read and counted.
    """

    connection: Connection
    database: Database
    parameters: MigrateParameters
    session: Record
    for_apply: bool
    state: State = State.NO_CAMPAIGNS
    tables: dict[str, Record] = field(default_factory=dict)
    columns: dict[str, dict[str, Record]] = field(default_factory=dict)
    users_table: str | None = None
    users: Record | None = None
    counts_rows: bool = True
    campaigns: int = 0
    domains: int = 0
    migration_version: int | None = None
    migration_dirty: bool = False
    census: list[CensusRow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def schema(self) -> str:
        """The schema of the campaign tables."""
        return self.parameters.schema_name

    @property
    def oids(self) -> list[int]:
        """The object ids of the core tables that are there."""
        return [table["oid"] for table in self.tables.values()]

    @property
    def campaigns_oid(self) -> int:
        """The object id of campaigns."""
        return int(self.tables["campaigns"]["oid"])

    @property
    def is_blocked(self) -> bool:
        """Whether there is a blocker already."""
        return any(finding.severity == "blocker" for finding in self.findings)

    def has_column(self, name: str, table: TableName = "campaigns") -> bool:
        """Whether a core table has this column."""
        return name in self.columns.get(table, {})

    async def fetch(self, query: str, *values: object) -> list[Record]:
        """The rows of `sql/queries/<query>.sql`."""
        return list(await self.connection.fetch(sql_files.query(query), *values))

    async def fetch_one(self, query: str, *values: object) -> Record | None:
        """The first row of `sql/queries/<query>.sql`."""
        return await self.connection.fetchrow(sql_files.query(query), *values)

    async def fetch_composed(self, query: str, *values: object) -> list[Record]:
        """The rows of the statement that `sql/queries/<query>.sql` writes: identifiers are quoted by the server."""
        return list(await self.connection.fetch(await self.connection.fetchval(sql_files.query(query), *values)))

    def block(self, code: str, message: str, remedy: str, keys: Sequence[object] = (), count: int = 1) -> None:
        """Note something that stops the run."""
        self._find(code, "blocker", message, remedy, keys, count)

    def block_contract(self, code: str, message: str, remedy: str, keys: Sequence[object] = (), count: int = 1) -> None:
        """Note something that stops the cut-over; a run that rests before it may go on."""
        if self.parameters.stop_after == "transform":
            self.warn(code, f"in the way of the cut-over, not of the transform: {message}", remedy, keys, count)
        else:
            self.block(code, message, remedy, keys, count)

    def warn(self, code: str, message: str, remedy: str, keys: Sequence[object] = (), count: int = 1) -> None:
        """Note something that an operator should know."""
        self._find(code, "warning", message, remedy, keys, count)

    def _find(
        self, code: str, severity: Severity, message: str, remedy: str, keys: Sequence[object], count: int
    ) -> None:
        shown = [str(key) for key in keys[:KEYS_SHOWN]]
        self.findings.append(
            Finding(
                code=code,
                severity=severity,
                message=message.rstrip("."),
                remedy=remedy,
                keys=shown,
                count=max(count, len(keys)),
            )
        )


def listed(names: Sequence[object], shown: int = KEYS_SHOWN) -> str:
    """Names in one line, the first ones if there are many.

    >>> listed(["a", "b", "c"], shown=2)
    'a, b and 1 more'
    """
    text = ", ".join(str(name) for name in names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "campaign"), counted(1200, "campaign")
    ('1 campaign', '1,200 campaigns')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
