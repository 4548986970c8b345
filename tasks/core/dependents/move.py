"""Moving the readers of the legacy columns, one short transaction each, while both models live."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
import postgast
from postgast import pg_query_pb2 as nodes

from tasks.core import errors, locks, run, sql_files
from tasks.core.database import Connection, Database
from tasks.core.dependents.compatibility import REMARK, VIEW, compose, plain_names
from tasks.core.dependents.find import find_dependents
from tasks.core.dependents.model import Dependent
from tasks.core.models import LockHold
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits

# Where the records stand among those of 000035: after the legacy columns are back, before the phases go.
DEPENDENT, MATERIALIZED, COMPATIBILITY = 600, 610, 700
ASIDE, FORMER = "__rebuilt", "__former"


async def move_dependents(
    database: Database, schema: str, limits: LockLimits, run_id: str, progress: Progress
) -> list[LockHold]:
    """Let every reader of the legacy columns read the compatibility view instead; the way back is recorded with each.

    Raises:
        StepFailed: names what cannot be kept, and why. What was moved before stays moved and works.
    """
    holds: list[LockHold] = []
    async with run.work_session(database, schema, run_id, "dependents") as connection:
        campaigns = await connection.fetchval(
            "SELECT to_regclass(format('%I.campaigns', current_schema()))::oid::bigint"
        )
        found = await find_dependents(connection, schema, campaigns)
        refused = [f"{one.kind} {one.identity}: {one.problem}" for one in found if one.problem]
        if refused:
            raise errors.StepFailed(
                step="moving dependents", sqlstate="2BP01", reason="; ".join(refused), remedy="Drop or rewrite them."
            )
        if not found:
            return holds
        await _create_view(connection, schema, campaigns, run_id)
        for number, one in enumerate(found):
            progress(f"dependents: {one.kind} {one.identity}", number, len(found))
            try:
                if one.kind == "materialized view":
                    await _swap(connection, one, limits, run_id, holds)
                else:
                    await _replace(connection, one, limits, run_id, holds)
            except asyncpg.PostgresError as error:
                raise errors.StepFailed(
                    step=f"moving {one.kind} {one.identity}",
                    sqlstate=error.sqlstate,
                    reason=str(error),
                    remedy="It is as it was. Drop or rewrite it and run again.",
                ) from error
    return holds


async def _create_view(connection: Connection, schema: str, campaigns: int, run_id: str) -> None:
    if await connection.fetchval("SELECT to_regclass(format('%I.%I', current_schema(), $1::text)) IS NOT NULL", VIEW):
        return
    composed = await compose(connection, schema, campaigns)
    async with connection.transaction():
        drop = await connection.fetchval("SELECT format('DROP VIEW %I', $1::text)", VIEW)
        await _save(connection, COMPATIBILITY, "compatibility view", VIEW, drop=drop)
        await connection.execute(composed.view_statement)
        await connection.execute(REMARK)
        for row in await connection.fetch(sql_files.query("compose_compatibility_grants"), campaigns, schema, VIEW):
            await connection.execute(row["statement"])
        await run.note(connection, run_id, "core-migrations", "compatibility view created")


async def _replace(
    connection: Connection, one: Dependent, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    """Views, functions and policies at once; triggers in the contract, when the legacy columns leave their lists."""
    in_contract = one.kind == "trigger"

    async def work(inside: Connection) -> None:
        await _save(
            inside, DEPENDENT, one.kind, one.identity,
            definition=one.definition, create=one.definition, rebuild=one.rebuilt if in_contract else None,
        )  # fmt: skip
        if not in_contract:
            await inside.execute(one.rebuilt or "")
        await run.note(inside, run_id, "core-migrations", f"moved {one.kind} {one.identity}")

    tables = {"campaigns": "ACCESS EXCLUSIVE"} if one.kind == "policy" else {}
    await locks.under_lock(connection, f"{one.kind} {one.identity}", tables, work, limits, holds)


async def _swap(connection: Connection, one: Dependent, limits: LockLimits, run_id: str, holds: list[LockHold]) -> None:
    """Build a materialized view under another name, indexes and all, then swap the names."""
    swap = await compose_swap(connection, one)
    # A leftover of an interrupted build is nobody's.
    await connection.execute(swap.clear)
    await locks.set_limits(connection, limits, locks=False)
    for statement in swap.build:
        await connection.execute(statement)

    async def work(inside: Connection) -> None:
        await _save(
            inside, MATERIALIZED, one.kind, one.identity,
            definition=one.definition, create=";\n".join([*swap.back_build, *swap.back_swap]),
        )  # fmt: skip
        for statement in swap.swap:
            await inside.execute(statement)
        await run.note(inside, run_id, "core-migrations", f"moved {one.kind} {one.identity}")

    await locks.under_lock(connection, f"{one.kind} {one.identity}", {}, work, limits, holds)


@dataclass(frozen=True)
class Swap:
    """The statements that build a materialized view aside and swap it in, and those that bring the old one back.

    Attributes:
        clear: removes what an interrupted build has left.
    """

    clear: str
    build: list[str]
    swap: list[str]
    back_build: list[str]
    back_swap: list[str]


async def compose_swap(connection: Connection, one: Dependent) -> Swap:
    """Write the statements for a materialized view; nothing is changed."""
    async with plain_names(connection):
        row = await connection.fetchrow(sql_files.query("describe_materialized_view"), one.oid)
        assert row is not None
        readers = []
        for reader in row["readers"]:
            view = await connection.fetchrow(sql_files.query("describe_view"), reader)
            assert view is not None
            readers.append(view["statement"])
    clear = f"DROP MATERIALIZED VIEW IF EXISTS {_named(row, ASIDE)}"
    return Swap(clear, *_statements(row, one.rebuilt or "", readers), *_statements(row, one.definition, readers))


def _statements(row: asyncpg.Record, definition: str, readers: list[str]) -> tuple[list[str], list[str]]:
    """What builds the new one aside, and what swaps it in."""
    tree = postgast.parse(definition)
    (create,) = postgast.find_nodes(tree, nodes.CreateTableAsStmt)
    create.into.rel.relname = row["name"] + ASIDE
    build, index_names = [postgast.deparse(tree)], []
    for text in row["index_definitions"]:
        index_tree = postgast.parse(text)
        (index,) = postgast.find_nodes(index_tree, nodes.IndexStmt)
        index_names.append(index.idxname)
        index.idxname = index.idxname + ASIDE
        index.relation.relname = row["name"] + ASIDE
        build.append(postgast.deparse(index_tree))
    schema = row["schema_name"]
    name, former = _quoted(row["name"]), _quoted(row["name"] + FORMER)
    swap = [
        f"ALTER MATERIALIZED VIEW {schema}.{name} RENAME TO {former}",
        f"ALTER MATERIALIZED VIEW {schema}.{_quoted(row['name'] + ASIDE)} RENAME TO {name}",
        *(statement.rstrip().removesuffix(";") for statement in readers),
        f"DROP MATERIALIZED VIEW {schema}.{former}",
        *(f"ALTER INDEX {schema}.{_quoted(index + ASIDE)} RENAME TO {_quoted(index)}" for index in index_names),
        *row["afterwards"],
    ]
    return build, swap


def _named(row: asyncpg.Record, suffix: str) -> str:
    return f"{row['schema_name']}.{_quoted(row['name'] + suffix)}"


def _quoted(name: str) -> str:
    """An identifier, always quoted: it keeps its letters whatever they are."""
    return '"' + name.replace('"', '""') + '"'


async def _save(
    connection: Connection, position: int, kind: str, identity: str, *,
    definition: str | None = None, drop: str | None = None, create: str | None = None, rebuild: str | None = None,
) -> None:  # fmt: skip
    await connection.execute(
        sql_files.query("save_dependent"), position, kind, identity, definition, drop, create, rebuild
    )
