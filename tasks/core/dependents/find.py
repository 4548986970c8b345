"""Finding what reads the legacy columns, and deciding what becomes of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import asyncpg
import postgast

from tasks.core import sql_files
from tasks.core.database import Connection
from tasks.core.dependents.compatibility import VIEW, Compatibility, compose, plain_names
from tasks.core.dependents.model import Dependent
from tasks.core.dependents.rewrite import (
    LEGACY_COLUMNS,
    CannotRewrite,
    columns_to_expressions,
    reads_whole_rows,
    to_view,
    trigger_to_phases,
)

# A trigger function that names NEW.status fails at every write once the column is gone.
_ROW_FIELD = re.compile(rf"\b(?:new|old)\s*\.\s*\"?({'|'.join(LEGACY_COLUMNS)})\b", re.IGNORECASE)


async def find_dependents(connection: Connection, schema: str, campaigns: int) -> list[Dependent]:
    """Every direct reader of the legacy columns that PostgreSQL knows of, with its rebuilt definition or the reason why not.

    The mapping functions must be there. What reads a reader (a view on a view) is not touched by a move and is not listed.

    Args:
        campaigns: the oid of the table.
    """
    compatibility = await compose(connection, schema, campaigns)
    async with plain_names(connection):
        return [
            *await _views(connection, schema, campaigns),
            *await _policies(connection, schema, campaigns, compatibility),
            *await _triggers(connection, campaigns, compatibility),
            *await _functions(connection, schema, campaigns),
        ]


async def _views(connection: Connection, schema: str, campaigns: int) -> list[Dependent]:
    found = []
    for row in await connection.fetch(sql_files.query("list_view_dependents"), campaigns):
        if not row["reads_legacy"] and not reads_whole_rows(row["definition"], schema):
            continue
        materialized = row["relkind"] == "m"
        original = row["definition"]
        rebuilt, problem = _attempt(partial(to_view, original, schema, VIEW))
        if materialized:
            problem = problem or await _materialized_problem(connection, row["oid"])
        found.append(
            Dependent(
                kind="materialized view" if materialized else "view",
                identity=row["identity"],
                oid=row["oid"],
                definition=_view_statement(row, original),
                rebuilt=None if rebuilt is None or problem else _view_statement(row, rebuilt),
                problem=problem,
            )
        )
    return found


def _view_statement(row: asyncpg.Record, definition: str) -> str:
    """The statement that makes a view of this definition with the options that the row's view has."""
    options = f" WITH ({row['options']})" if row["options"] else ""
    verb = "CREATE MATERIALIZED VIEW" if row["relkind"] == "m" else "CREATE OR REPLACE VIEW"
    with_data = "" if row["populated"] else " WITH NO DATA"
    return f"{verb} {row['identity']}{options} AS {definition.rstrip().removesuffix(';')}{with_data}"


async def _materialized_problem(connection: Connection, oid: int) -> str | None:
    described = await connection.fetchrow(sql_files.query("describe_materialized_view"), oid)
    assert described is not None
    for reader in described["readers"]:
        view = await connection.fetchrow(sql_files.query("describe_view"), reader)
        assert view is not None
        if view["relkind"] == "m":
            return f"materialized view {view['identity']} reads it and would have to be built anew with it"
    return None


async def _policies(
    connection: Connection, schema: str, campaigns: int, compatibility: Compatibility
) -> list[Dependent]:
    found = []
    expressions = {name: text.replace("{row}", "campaigns.") for name, text in compatibility.kept.items()}
    for row in await connection.fetch(sql_files.query("list_policy_dependents"), campaigns):
        if row["on_campaigns"]:
            change = partial(columns_to_expressions, expressions=expressions, qualifiers=frozenset({"campaigns"}))
        else:
            change = partial(_expression_to_view, schema=schema)
        rebuilt, problem = _attempt(partial(_policy_statement, row, change))
        found.append(
            Dependent(
                kind="policy",
                identity=row["identity"],
                oid=row["oid"],
                definition=_policy_statement(row, str),
                rebuilt=rebuilt,
                problem=problem,
            )
        )
    return found


def _policy_statement(row: asyncpg.Record, change: Callable[[str], str]) -> str:
    """The statement that gives a policy its expressions, changed."""
    parts = [f"ALTER POLICY {row['identity']}"]
    if row["using_expression"]:
        parts.append(f"USING ({change(row['using_expression'])})")
    if row["check_expression"]:
        parts.append(f"WITH CHECK ({change(row['check_expression'])})")
    return " ".join(parts)


def _expression_to_view(expression: str, schema: str) -> str:
    return to_view("SELECT " + expression, schema, VIEW).removeprefix("SELECT ")


async def _triggers(connection: Connection, campaigns: int, compatibility: Compatibility) -> list[Dependent]:
    found = []
    for row in await connection.fetch(sql_files.query("list_trigger_dependents"), campaigns):
        definition = row["definition"]
        rebuilt, problem = _attempt(partial(trigger_to_phases, definition, compatibility.inverse))
        named = _ROW_FIELD.search(row["body"])
        if row["is_constraint"]:
            problem = "it is a constraint trigger, which cannot be replaced in place"
        elif named:
            problem = f"its function reads {named.group(0)}, and every write would fail"
        found.append(
            Dependent(
                kind="trigger",
                identity=row["identity"],
                oid=row["oid"],
                definition=definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1),
                rebuilt=None if problem else rebuilt,
                problem=problem,
            )
        )
    return found


async def _functions(connection: Connection, schema: str, campaigns: int) -> list[Dependent]:
    found = []
    for row in await connection.fetch(sql_files.query("list_function_dependents"), campaigns):
        definition = row["definition"]
        rebuilt, problem = _attempt(partial(to_view, definition, schema, VIEW))
        found.append(
            Dependent(
                kind="function",
                identity=row["identity"],
                oid=row["oid"],
                definition=definition,
                rebuilt=rebuilt,
                problem=problem,
            )
        )
    return found


def _attempt(rewrite: Callable[[], str]) -> tuple[str | None, str | None]:
    """The rewritten text, or the reason why there is none."""
    try:
        return rewrite(), None
    except CannotRewrite as reason:
        return None, str(reason)
    except postgast.PgQueryError as error:
        return None, f"its definition could not be parsed ({error})"
