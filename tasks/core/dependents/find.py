"""Finding what reads the legacy columns, and deciding what becomes of each."""

from __future__ import annotations

import re
from collections.abc import Callable

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
        options = f" WITH ({row['options']})" if row["options"] else ""
        verb = "CREATE MATERIALIZED VIEW" if materialized else "CREATE OR REPLACE VIEW"

        def statement(
            definition: str, head: str = f"{verb} {row['identity']}{options} AS ", populated: bool = row["populated"]
        ) -> str:
            with_data = "" if populated else " WITH NO DATA"
            return head + definition.rstrip().removesuffix(";") + with_data

        original = row["definition"]
        rebuilt, problem = _attempt(lambda text=original: to_view(text, schema, VIEW))  # type: ignore[misc]
        if materialized:
            problem = problem or await _materialized_problem(connection, row["oid"])
        found.append(
            Dependent(
                kind="materialized view" if materialized else "view",
                identity=row["identity"],
                oid=row["oid"],
                definition=statement(original),
                rebuilt=None if rebuilt is None or problem else statement(rebuilt),
                problem=problem,
            )
        )
    return found


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
    expressions = {
        name: text.replace("{row}", "campaigns.") for name, text in compatibility.kept.items() if text is not None
    }
    for row in await connection.fetch(sql_files.query("list_policy_dependents"), campaigns):

        def rewrite(expression: str, on_campaigns: bool = row["on_campaigns"]) -> str:
            if on_campaigns:
                return columns_to_expressions(expression, expressions, qualifiers=frozenset({"campaigns"}))
            return to_view("SELECT " + expression, schema, VIEW).removeprefix("SELECT ")

        def statement(change: Callable[[str], str], row: object = row) -> str:
            parts = [f"ALTER POLICY {row['identity']}"]  # type: ignore[index]
            if row["using_expression"]:  # type: ignore[index]
                parts.append(f"USING ({change(row['using_expression'])})")  # type: ignore[index]
            if row["check_expression"]:  # type: ignore[index]
                parts.append(f"WITH CHECK ({change(row['check_expression'])})")  # type: ignore[index]
            return " ".join(parts)

        rebuilt, problem = _attempt(lambda build=statement, change=rewrite: build(change))  # type: ignore[misc]
        found.append(
            Dependent(
                kind="policy",
                identity=row["identity"],
                oid=row["oid"],
                definition=statement(lambda expression: expression),
                rebuilt=rebuilt,
                problem=problem,
            )
        )
    return found


async def _triggers(connection: Connection, campaigns: int, compatibility: Compatibility) -> list[Dependent]:
    found = []
    for row in await connection.fetch(sql_files.query("list_trigger_dependents"), campaigns):
        definition = row["definition"]
        rebuilt, problem = _attempt(
            lambda text=definition: trigger_to_phases(text, compatibility.inverse)  # type: ignore[misc]
        )
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
        rebuilt, problem = _attempt(lambda text=definition: to_view(text, schema, VIEW))  # type: ignore[misc]
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
