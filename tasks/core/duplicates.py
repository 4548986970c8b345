"""Indexes and foreign keys of the core tables that say again what another one says.

An index is superfluous where another btree index of the table begins with the same keys (operator classes, collations,
order and place of NULLs alike), holds its INCLUDE columns too and covers the same rows. Rows are the same where the
predicates are the same text, or where the other index has none and validated constraints leave no row outside this one's
predicate; the planner is asked for the proof. Unique indexes, those of a constraint, replica identities and CLUSTER marks stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg
import postgast
from postgast import pg_query_pb2 as nodes
from pydantic import Field

from tasks.core import catalog, sql_files
from tasks.core.database import Connection
from tasks.core.models import Model

REFUTED = "One-Time Filter: false"
# pg_index.indoption for a key in descending order, NULLS FIRST as is its default.
DESCENDING, ASCENDING = 3, 0


class Duplicate(Model):
    """One index or foreign key that another makes superfluous.

    Attributes:
        oid: of the index or the constraint.
        reason: why it is superfluous, naming what stays.
        lock_statement: locks the table of a foreign key; the drop itself locks the other one.
        core_tables: those of campaigns and generated_domains that dropping a foreign key locks.
        bytes: the size of the index; 0 for a foreign key.
        scans: how often it was read on this server; None for a foreign key. Replicas count their own.
        counted_since: when the counting began; None if it never began anew.
    """

    kind: Literal["index", "foreign key"]
    oid: int
    table_name: str
    name: str
    reason: str
    drop_statement: str
    lock_statement: str = ""
    core_tables: list[str] = Field(default_factory=list)
    bytes: int = 0
    scans: int | None = None
    counted_since: datetime | None = None


@dataclass(frozen=True)
class IndexFacts:
    """What decides whether an index is superfluous; one that is yet to be built has no oid.

    Attributes:
        keys: each key with its operator class, collation and order, as list_index_facts.sql writes them.
        columns: the keys' expressions and the INCLUDE columns, in order.
        implied: whether every row of the table is in the index, in spite of its predicate.
    """

    oid: int | None
    name: str
    table_name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    predicate: str | None = None
    implied: bool = False
    is_droppable: bool = False
    bytes: int = 0
    scans: int = 0
    counted_since: datetime | None = None

    def serves_for(self, other: IndexFacts) -> bool:
        """Whether whatever the other index answers this one answers, too."""
        included = other.columns[len(other.keys) :]
        return (
            self.table_name == other.table_name
            and self.keys[: len(other.keys)] == other.keys
            and set(included) <= set(self.columns)
            and (self.predicate == other.predicate or (self.predicate is None and other.implied))
        )


def superfluous(indexes: Sequence[IndexFacts]) -> list[tuple[IndexFacts, IndexFacts]]:
    """Each index that may go, with the one that serves in its place and stays."""

    def gives_way(one: IndexFacts) -> bool:
        return one.is_droppable and any(
            other is not one
            and other.serves_for(one)
            and (not one.serves_for(other) or not other.is_droppable or _age(other) < _age(one))
            for other in indexes
        )

    going = [one for one in indexes if gives_way(one)]
    # What serves is transitive, so something that stays is always found at the end.
    found = []
    for one in going:
        kept = [other for other in indexes if other not in going and other.serves_for(one)]
        found.append((one, min(kept, key=_preference)))
    return found


def _age(index: IndexFacts) -> tuple[bool, int]:
    return index.oid is None, index.oid or 0


def _preference(index: IndexFacts) -> tuple[bool, int, int]:
    return index.oid is None, index.bytes, index.oid or 0


async def find_duplicates(connection: Connection, renamed: Mapping[str, str]) -> list[Duplicate]:
    """The foreign keys, then the indexes, that this migration drops; the catalog is read and nothing is changed.

    Args:
        connection: with the schema of the core tables first on its search path.
        renamed: names of indexes that will have been given up by then, with their new names.
    """
    return [*await find_foreign_keys(connection), *await find_indexes(connection, renamed)]


async def find_foreign_keys(connection: Connection) -> list[Duplicate]:
    """Foreign keys at the core tables that repeat another one: same columns on both sides, same actions."""
    return [
        Duplicate(
            kind="foreign key", oid=row["oid"], table_name=row["table_name"], name=row["name"],
            drop_statement=row["drop_statement"], lock_statement=row["lock_statement"], core_tables=row["core_tables"],
            reason=f"{row['kept']} says the same: {row['definition'].removesuffix(' NOT VALID')}",
        )
        for row in await connection.fetch(sql_files.query("list_duplicate_foreign_keys"))
    ]  # fmt: skip


async def find_indexes(connection: Connection, renamed: Mapping[str, str]) -> list[Duplicate]:
    """Indexes of the core tables that another one, or one that 000036 builds, makes superfluous."""
    rows = await connection.fetch(sql_files.query("list_index_facts"), [*renamed], [*renamed.values()])
    there: list[IndexFacts] = []
    for row in rows:
        # What goes with the legacy columns is no help to anybody, nor is an index that serves no query.
        if row["method"] != "btree" or row["goes_with_legacy"] or not row["is_valid"]:
            continue
        there.append(
            IndexFacts(
                oid=row["oid"], name=row["name"], table_name=row["table_name"], keys=tuple(row["keys"]),
                columns=tuple(row["columns"]), predicate=row["predicate"], is_droppable=row["is_droppable"],
                bytes=row["bytes"], scans=row["scans"], counted_since=row["counted_since"],
                implied=await _is_implied(connection, row),
            )
        )  # fmt: skip
    named = {index.name for index in there}
    planned = [index for index in await _planned(connection) if index.name not in named]
    return [await _describe(connection, one, kept) for one, kept in superfluous([*there, *planned])]


async def _is_implied(connection: Connection, row: asyncpg.Record) -> bool:
    """Whether the planner proves from validated constraints that no row fails the predicate."""
    if row["predicate"] is None or not row["predicate_is_never_null"] or not row["is_droppable"]:
        return False
    question = await connection.fetchval(sql_files.query("compose_index_proof"), row["oid"])
    # Taken back, and the setting with it.
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SELECT set_config('constraint_exclusion', 'on', true)")
        plan = await connection.fetch(question)
    finally:
        await transaction.rollback()
    return any(REFUTED in row[0] for row in plan)


async def _planned(connection: Connection) -> list[IndexFacts]:
    """The list of 000036 as if it were there. A column that is yet to be added is like no other."""
    parts = {
        (row["table_name"], row["column_name"]): row["key"]
        for row in await connection.fetch(sql_files.query("list_key_parts"))
    }
    found = []
    for name, table, definition, _purpose in await connection.fetch(catalog.index_definitions_query()):
        (statement,) = postgast.find_nodes(postgast.parse(definition), nodes.IndexStmt)
        elements = [node.index_elem for node in statement.index_params]
        keys = tuple(
            f"{parts.get((table, element.name), element.name)}"
            f" {DESCENDING if element.ordering == nodes.SORTBY_DESC else ASCENDING}"
            for element in elements
        )
        included = [node.index_elem.name for node in statement.index_including_params]
        columns = (*(element.name for element in elements), *included)
        predicate = definition.partition(" WHERE ")[2] or None
        found.append(IndexFacts(None, name, table, keys, columns, predicate))
    return found


async def _describe(connection: Connection, one: IndexFacts, kept: IndexFacts) -> Duplicate:
    if len(kept.keys) > len(one.keys):
        reason = f"{kept.name} begins with the same columns"
    elif len(kept.columns) > len(one.columns):
        reason = f"{kept.name} has the same columns and more"
    else:
        reason = f"{kept.name} has the same columns"
    if one.predicate is not None and one.predicate != kept.predicate:
        reason += f", and validated constraints leave no row outside {one.predicate}"
    if kept.oid is None:
        reason += " (it comes with 000036)"
    return Duplicate(
        kind="index", oid=one.oid or 0, table_name=one.table_name, name=one.name, reason=reason,
        drop_statement=await connection.fetchval("SELECT format('DROP INDEX CONCURRENTLY %I', $1::text)", one.name),
        bytes=one.bytes, scans=one.scans, counted_since=one.counted_since,
    )  # fmt: skip
