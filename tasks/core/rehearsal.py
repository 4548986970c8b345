"""A migration tried out in a transaction that is taken back: what becomes of dependents, and what 000035 will drop.

Nothing of the application's is touched or locked against anybody. New definitions are created beside the old ones under a name
of ours, over a stand-in for campaigns that has the phases columns and no legacy ones: what still needs those fails here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as nodes

from tasks.core import sql_files, toolkit
from tasks.core.database import Connection
from tasks.core.dependents import Dependent, find_dependents
from tasks.core.dependents.compatibility import READER_VIEW, VIEW, is_there, plain_names, statements
from tasks.core.dependents.grouping import say_what_the_key_implies
from tasks.core.settings import MigrateParameters

STAND_IN, TRIED = "migration_rehearsal_campaigns", "migration_rehearsal"
# What holds no object of its own to be in the way: the guard would refuse what is renamed or moved beforehand.
LEFT_OUT = "guard"


class CannotRehearse(Exception):
    """Why nothing could be tried out here."""


@dataclass(frozen=True)
class Rehearsal:
    """What would happen.

    Attributes:
        dependents: with the server's words as the problem of those that it would not take.
        compatibility_views: the statements that make each of the two views; none where it is there or nobody needs it.
        drops: the statements that take the legacy columns away, in their order, with the bytes that each sets free.
    """

    dependents: list[Dependent]
    compatibility_views: dict[str, list[str]]
    drops: list[tuple[str, int]]


@asynccontextmanager
async def taken_back(connection: Connection) -> AsyncIterator[None]:
    """A transaction, or a savepoint within one, of which nothing remains."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        if not connection.is_closed():
            await transaction.rollback()


async def rehearse(connection: Connection, schema: str, campaigns: int, parameters: MigrateParameters) -> Rehearsal:
    """Try the migration of the schema's dependents out. Only within `taken_back`.

    Args:
        campaigns: the oid of the table.

    Raises:
        CannotRehearse: if not even our own objects can be created, such as for a role that may not create.
    """
    try:
        await _install(connection, parameters)
        for statement in await connection.fetchval(sql_files.query("compose_stand_in"), campaigns, schema, STAND_IN):
            await connection.execute(statement)
    except asyncpg.PostgresError as error:
        raise CannotRehearse(str(error)) from error
    found = await find_dependents(connection, schema, campaigns)
    try:
        made = {
            view: await _make_view(connection, schema, campaigns, view, found)
            for view in (VIEW, READER_VIEW)
            if any(one.reads == view and not one.problem for one in found) and not await is_there(connection, view)
        }
    except asyncpg.PostgresError as error:
        raise CannotRehearse(str(error)) from error
    foreign = await _foreign(connection, found)
    access = await connection.fetchrow(sql_files.query("describe_campaigns_access"), campaigns)
    assert access is not None
    key: list[str] = access["key_columns"]
    tried = []
    for one in found:
        problem = one.problem or foreign.get(one.identity) or await _try(connection, schema, campaigns, key, one)
        tried.append(one.model_copy(update={"problem": problem}))
    try:
        async with taken_back(connection):
            await connection.execute("SELECT migration_record_legacy()")
            rows = await connection.fetch(sql_files.query("list_legacy_drops"))
    except asyncpg.PostgresError as error:
        raise CannotRehearse(str(error)) from error
    return Rehearsal(dependents=tried, compatibility_views=made, drops=[tuple(row) for row in rows])


async def _install(connection: Connection, parameters: MigrateParameters) -> None:
    blocks = sql_files.blocks(sql_files.script("migrate-campaign-data"))
    await connection.execute("\n".join(blocks[name] for name in toolkit.BLOCKS if name != LEFT_OUT))
    await toolkit.add_mappings(connection, parameters)
    await connection.execute("SELECT migration_find_inverse_mappings()")


async def _make_view(
    connection: Connection, schema: str, campaigns: int, view: str, found: list[Dependent]
) -> list[str]:
    """Make one of the two compatibility views over the stand-in; the statements that will make the real one."""
    owners = [one.owner for one in found if one.reads == view and one.owner is not None]
    made = []
    async for statement in statements(connection, schema, campaigns, view, owners):
        made.append(statement)
        if not statement.startswith("CREATE "):
            continue  # rights: whether this role may give them is looked at elsewhere
        tree = postgast.parse(statement)
        for table in postgast.find_nodes(tree, nodes.RangeVar):
            if _is_campaigns(table, schema):
                table.relname = STAND_IN
        await connection.execute(postgast.deparse(tree))
    return made


async def _foreign(connection: Connection, found: list[Dependent]) -> dict[str, str]:
    """Whom dependents belong to that only their owner may replace, in words, by identity."""
    kinds = {"view": "relation", "materialized view": "relation", "function": "function", "policy": "policy"}
    oids = {
        kind: [one.oid for one in found if kinds.get(one.kind) == kind] for kind in ("relation", "function", "policy")
    }
    rows = await connection.fetch(
        sql_files.query("list_foreign_dependents"), oids["relation"], oids["function"], oids["policy"]
    )
    owners = {(row["kind"], row["oid"]): row["owner"] for row in rows}
    return {
        one.identity: f"it belongs to {owner}, and this role is no member of that one"
        for one in found
        if (owner := owners.get((kinds.get(one.kind, ""), one.oid))) is not None
    }


async def _try(connection: Connection, schema: str, campaigns: int, key: Collection[str], one: Dependent) -> str | None:
    """Create the new definition under another name; why the server does not take it, where it does not."""
    assert one.rebuilt is not None
    try:
        async with taken_back(connection):
            match one.kind:
                case "view" | "materialized view":
                    return await _try_view(connection, campaigns, key, one)
                case "policy":
                    return await _try_policy(connection, schema, campaigns, one.rebuilt)
                case "trigger":
                    await connection.execute(_elsewhere(one.rebuilt, schema))
                case "function":
                    await connection.execute(_temporary_function(one.rebuilt))
                    return await _still_reads(connection, campaigns, None)
    except asyncpg.PostgresError as error:
        return f"the server does not take its new definition: {error}"
    except postgast.PgQueryError as error:
        return f"its new definition could not be parsed ({error})"
    return None


async def _try_view(connection: Connection, campaigns: int, key: Collection[str], one: Dependent) -> str | None:
    tree = postgast.parse(one.rebuilt or "")
    statement = tree.stmts[0].stmt
    if one.kind == "view":
        relation = statement.view_stmt.view
        statement.view_stmt.replace = False
    else:
        relation = statement.create_table_as_stmt.into.rel
        statement.create_table_as_stmt.into.skip_data = True
    relation.relname = TRIED
    await connection.execute(postgast.deparse(tree))
    before = await connection.fetch(sql_files.query("describe_row_shape"), one.oid)
    tried = await _tried(connection, relation.schemaname)
    after = await connection.fetch(sql_files.query("describe_row_shape"), tried)
    for old, new in zip(before, after, strict=False):
        if tuple(old) != tuple(new):
            return f"its column {old['name']} ({old['type']}) would become {new['name']} ({new['type']})"
    if len(before) != len(after):
        return f"it has {len(before)} columns and would have {len(after)}"
    async with plain_names(connection):
        printed = await connection.fetchval("SELECT pg_get_viewdef($1::oid)", tried)
    if _with_campaigns(printed, key) != _with_campaigns(_query(one.definition), key):
        return "its new definition, as the server reads it, differs from the old one in more than the table"
    return await _still_reads(connection, campaigns, tried)


def _query(definition: str) -> str:
    """The query of a view's statement."""
    statement = postgast.parse(definition).stmts[0].stmt
    query = nodes.ParseResult()
    is_view = statement.WhichOneof("node") == "view_stmt"
    query.stmts.add().stmt.CopyFrom(statement.view_stmt.query if is_view else statement.create_table_as_stmt.query)
    return postgast.deparse(query)


def _with_campaigns(query: str, key: Collection[str]) -> str:
    """A query with campaigns in the place of the views that stand in for it, in one way of writing."""
    tree = postgast.parse(query)
    for table in postgast.find_nodes(tree, nodes.RangeVar):
        if table.schemaname and table.relname in {"campaigns", VIEW, READER_VIEW}:
            table.alias.aliasname = table.alias.aliasname or table.relname
            table.relname = "campaigns"
    say_what_the_key_implies(tree, lambda table: table.relname == "campaigns" and bool(table.schemaname), key)
    return postgast.deparse(tree)


async def _still_reads(connection: Connection, campaigns: int, tried: int | None) -> str | None:
    rows = await connection.fetch(sql_files.query("list_remaining_reads"), campaigns, tried)
    if not rows:
        return None
    columns = ", ".join(row[0] for row in rows)
    return f"it reads {columns} in a way that no view can stand in for, such as through a function that takes or returns its rows"


async def _tried(connection: Connection, schema: str) -> int:
    oid: int = await connection.fetchval("SELECT to_regclass(format('%I.%I', $1::text, $2::text))::oid", schema, TRIED)
    return oid


async def _try_policy(connection: Connection, schema: str, campaigns: int, rebuilt: str) -> str | None:
    """A policy's expressions as columns of a view over its table."""
    policy = postgast.parse(rebuilt).stmts[0].stmt.alter_policy_stmt
    for expression in (policy.qual, policy.with_check):
        if expression.WhichOneof("node") is None:
            continue
        tree = postgast.parse("CREATE VIEW tried AS SELECT expression AS allowed FROM policed")
        view = tree.stmts[0].stmt.view_stmt
        view.view.schemaname, view.view.relname = schema, TRIED
        select = view.query.select_stmt
        select.target_list[0].res_target.val.CopyFrom(expression)
        table = select.from_clause[0].range_var
        table.CopyFrom(policy.table)
        table.inh = True
        if _is_campaigns(table, schema):
            table.relname, table.alias.aliasname = STAND_IN, "campaigns"
        async with taken_back(connection):
            await connection.execute(postgast.deparse(tree))
            tried = await _tried(connection, schema)
            (column,) = await connection.fetch(sql_files.query("describe_row_shape"), tried)
            problem = await _still_reads(connection, campaigns, tried)
        if problem:
            return problem
        if column["type"] != "boolean":
            return f"its new expression is {column['type']}, not boolean"
    return None


def _elsewhere(definition: str, schema: str) -> str:
    """A trigger's definition for the stand-in, without what is said besides."""
    (trigger,) = postgast.find_nodes(postgast.parse(definition), nodes.CreateTrigStmt)
    trigger.relation.schemaname, trigger.relation.relname = schema, STAND_IN
    alone = nodes.ParseResult()
    alone.stmts.add().stmt.create_trig_stmt.CopyFrom(trigger)
    return postgast.deparse(alone)


def _temporary_function(definition: str) -> str:
    """A function's definition under its own name, by which it may call its arguments, but gone with the session."""
    tree = postgast.parse(definition)
    (function,) = postgast.find_nodes(tree, nodes.CreateFunctionStmt)
    name = function.funcname[-1].string.sval
    del function.funcname[:]
    for part in ("pg_temp", name):
        function.funcname.add().string.sval = part
    return postgast.deparse(tree)


def _is_campaigns(table: Message, schema: str) -> bool:
    return bool(table.relname == "campaigns" and table.schemaname == schema)  # type: ignore[attr-defined]  # protobuf messages are typed loosely here
