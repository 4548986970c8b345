"""Materialized views: those that read one another are built anew together, beside the old ones, and swapped by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import asyncpg
import postgast
from postgast import pg_query_pb2 as nodes

from tasks.core import sql_files
from tasks.core.database import Connection
from tasks.core.dependents.compatibility import plain_names
from tasks.core.dependents.model import Dependent
from tasks.core.dependents.rewrite import to_relations

ASIDE, FORMER = "__rebuilt", "__former"
LONGEST_NAME = 63  # bytes; the server cuts off what is beyond


@dataclass(frozen=True)
class Swap:
    """The statements that build materialized views aside and swap them in, and those that bring the old ones back.

    Attributes:
        clear: removes what an interrupted build has left.
        builds: by the view's identity: the view aside, then its indexes.
    """

    clear: list[str]
    builds: dict[str, list[str]]
    swap: list[str]
    back: list[str]


@dataclass(frozen=True)
class _Member:
    """One of the views of a group: its row of describe_materialized_view.sql, and where it stands."""

    dependent: Dependent
    row: asyncpg.Record

    @property
    def key(self) -> tuple[str, str]:
        return self.row["schema"], self.row["name"]

    def named(self, suffix: str = "") -> str:
        return f"{self.row['quoted_schema']}.{_quoted(with_suffix(self.row['name'], suffix))}"


async def with_their_readers(
    connection: Connection, found: list[Dependent], statement: Callable[[asyncpg.Record, str], str]
) -> list[Dependent]:
    """The dependents with the materialized views that read one of them directly: those are bound to the old one.

    Args:
        statement: makes a view's statement from its row and definition.
    """
    direct = [one for one in found if one.kind == "materialized view"]
    rows = await connection.fetch(sql_files.query("list_materialized_readers"), [one.oid for one in direct])
    known = {one.oid: one for one in direct}
    for row in rows:
        text = statement(row, row["definition"])
        known.setdefault(
            row["oid"],
            Dependent(
                kind="materialized view", identity=row["identity"], oid=row["oid"], definition=text, rebuilt=text
            ),
        )
    groups = _groups({row["oid"]: set(row["reads"]) for row in rows})
    joined = []
    for oid, one in known.items():
        problems = [f"{known[other].identity}: {known[other].problem}" for other in groups[oid] if known[other].problem]
        blocked = f"it is built anew together with {problems[0]}" if problems and not one.problem else one.problem
        joined.append(
            one.model_copy(
                update={
                    "group": min(known[other].identity for other in groups[oid]),
                    "problem": blocked,
                    "rebuilt": None if blocked else one.rebuilt,
                }
            )
        )
    others = [one for one in found if one.kind != "materialized view"]
    return sorted([*others, *joined], key=lambda one: one.identity)


def in_groups(found: Sequence[Dependent]) -> list[list[Dependent]]:
    """The dependents in their order, one by one, but for materialized views of a group, which come where their first comes."""
    groups: dict[object, list[Dependent]] = {}
    for one in found:
        groups.setdefault(one.group or (one.kind, one.oid), []).append(one)
    return list(groups.values())


async def compose_swap(connection: Connection, group: Sequence[Dependent]) -> Swap:
    """Write the statements for materialized views that read one another; nothing is changed."""
    async with plain_names(connection):
        members = []
        for one in group:
            row = await connection.fetchrow(sql_files.query("describe_materialized_view"), one.oid)
            assert row is not None
            members.append(_Member(one, row))
        members = _read_first(members)
        readers = []
        for oid in sorted({reader for member in members for reader in member.row["readers"]}):
            view = await connection.fetchrow(sql_files.query("describe_view"), oid)
            assert view is not None
            if view["relkind"] == "v":
                readers.append(view["statement"].rstrip().removesuffix(";"))
    clear = [f"DROP MATERIALIZED VIEW IF EXISTS {member.named(ASIDE)}" for member in reversed(members)]
    builds = {member.dependent.identity: _build(member, members, member.dependent.rebuilt or "") for member in members}
    back = [statement for member in members for statement in _build(member, members, member.dependent.definition)]
    swap = _swap(members, readers)
    return Swap(clear, builds, swap, [*back, *swap])


def _build(member: _Member, members: Sequence[_Member], definition: str) -> list[str]:
    """The view under another name, reading the others under theirs, and its indexes."""
    tree = postgast.parse(to_relations(definition, {one.key: with_suffix(one.row["name"], ASIDE) for one in members}))
    (create,) = postgast.find_nodes(tree, nodes.CreateTableAsStmt)
    create.into.table_space_name = member.row["tablespace"] or ""
    create.into.access_method = member.row["access_method"] or ""
    build = [postgast.deparse(tree)]
    for text, tablespace in zip(member.row["index_definitions"], member.row["index_tablespaces"], strict=True):
        index_tree = postgast.parse(text)
        (index,) = postgast.find_nodes(index_tree, nodes.IndexStmt)
        index.idxname = with_suffix(index.idxname, ASIDE)
        index.table_space = tablespace or ""
        index.relation.relname = with_suffix(member.row["name"], ASIDE)
        build.append(postgast.deparse(index_tree))
    return build


def _swap(members: Sequence[_Member], readers: Sequence[str]) -> list[str]:
    """Old names aside, new ones in, views that read them bound to the new ones, and only then the old ones gone."""
    statements = []
    for member in members:
        name, former = _quoted(member.row["name"]), _quoted(with_suffix(member.row["name"], FORMER))
        statements.append(f"ALTER MATERIALIZED VIEW {member.named()} RENAME TO {former}")
        statements.append(f"ALTER MATERIALIZED VIEW {member.named(ASIDE)} RENAME TO {name}")
    statements += readers
    statements += [f"DROP MATERIALIZED VIEW {member.named(FORMER)}" for member in reversed(members)]
    for member in members:
        schema = member.row["quoted_schema"]
        statements += [
            f"ALTER INDEX {schema}.{_quoted(with_suffix(name, ASIDE))} RENAME TO {_quoted(name)}"
            for name in member.row["index_names"]
        ]
        statements += member.row["afterwards"]
    return statements


def _groups(reads: dict[int, set[int]]) -> dict[int, set[int]]:
    """For each view those that it hangs together with, itself included."""
    groups = {oid: {oid} for oid in reads}
    for oid, read in reads.items():
        joined = set.union(*(groups[other] for other in {oid, *read}))
        for other in joined:
            groups[other] = joined
    return groups


def _read_first(members: Iterable[_Member]) -> list[_Member]:
    """In the order in which they are built: each behind those that it reads."""
    waiting = {member.dependent.oid: member for member in members}
    # Who reads whom: a view's row names its readers.
    reads: dict[int, set[int]] = {oid: set() for oid in waiting}
    for oid, member in waiting.items():
        for reader in member.row["readers"]:
            if reader in reads:
                reads[reader].add(oid)
    ordered: list[_Member] = []
    while waiting:
        ready = [oid for oid in waiting if not reads[oid] & waiting.keys()]
        ordered += [waiting.pop(oid) for oid in ready]
    return ordered


def with_suffix(name: str, suffix: str) -> str:
    """A name with something behind it, cut where the server would cut it, but never to another's name."""
    if not suffix or len((name + suffix).encode()) <= LONGEST_NAME:
        return name + suffix
    mark = "_" + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8]
    room = LONGEST_NAME - len((mark + suffix).encode())
    return name.encode()[:room].decode(errors="ignore") + mark + suffix


def _quoted(name: str) -> str:
    """An identifier, always quoted: it keeps its letters whatever they are."""
    return '"' + name.replace('"', '""') + '"'
