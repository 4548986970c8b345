"""Finding what reads the legacy columns, and deciding what becomes of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import asyncpg
import postgast

from tasks.core import sql_files
from tasks.core.database import Connection
from tasks.core.dependents.compatibility import READER_VIEW, VIEW, Compatibility, compose, plain_names
from tasks.core.dependents.materialized import with_their_readers
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
SECURITY_INVOKER_SINCE = 150_000


@dataclass(frozen=True)
class _Campaigns:
    """The table, how its rows may be read, and the two views that stand in for it."""

    oid: int
    schema: str
    access: asyncpg.Record
    by_owner: Compatibility
    by_reader: Compatibility

    @property
    def reader_view(self) -> str:
        """The view for what is read with the rights of whoever reads it."""
        return READER_VIEW if self.access["row_security"] else VIEW

    @property
    def version_problem(self) -> str | None:
        """Why this server has no such view, where it has none."""
        if self.access["row_security"] and self.access["version"] < SECURITY_INVOKER_SINCE:
            return "campaigns has row level security, and before PostgreSQL 15 no view obeys that of its reader"
        return None

    @property
    def reader_problem(self) -> str | None:
        """Why nothing can be read through that view, where it cannot."""
        if not self.access["row_security"]:
            return None
        if self.version_problem:
            return self.version_problem
        if self.access["column_readers"]:
            return (
                "campaigns has row level security, and a view that obeys it asks for every column, of which"
                f" {self.access['column_readers']} may read some only"
            )
        return None

    def to_view(self, statement: str, view: str) -> str:
        """The statement, reading this view in the place of the table."""
        return to_view(statement, self.schema, view, self.access["key_columns"])


async def find_dependents(connection: Connection, schema: str, campaigns: int) -> list[Dependent]:
    """Every direct reader of the legacy columns that PostgreSQL knows of, with its rebuilt definition or the reason why not.

    The mapping functions must be there. What reads a reader (a view on a view) is not touched by a move and is not listed, but
    for materialized views that read one another.

    Args:
        campaigns: the oid of the table.
    """
    access = await connection.fetchrow(sql_files.query("describe_campaigns_access"), campaigns)
    assert access is not None
    table = _Campaigns(
        campaigns, schema, access,
        by_owner=await compose(connection, schema, campaigns, VIEW),
        by_reader=await compose(connection, schema, campaigns, READER_VIEW),
    )  # fmt: skip
    async with plain_names(connection):
        return [
            *await _views(connection, table),
            *await _policies(connection, table),
            *await _triggers(connection, table),
            *await _functions(connection, table),
        ]


async def _views(connection: Connection, table: _Campaigns) -> list[Dependent]:
    found = []
    for row in await connection.fetch(sql_files.query("list_view_dependents"), table.oid):
        if not row["reads_legacy"] and not reads_whole_rows(row["definition"], table.schema):
            continue
        view = table.reader_view if row["is_invoker"] else VIEW
        original = row["definition"]
        rebuilt, problem = _attempt(partial(table.to_view, original, view))
        problem = problem or (table.reader_problem if row["is_invoker"] else _owner_problem(row, table))
        found.append(
            Dependent(
                kind="materialized view" if row["relkind"] == "m" else "view",
                identity=row["identity"],
                oid=row["oid"],
                definition=view_statement(row, original),
                reads=view,
                owner=row["owner"],
                rebuilt=None if rebuilt is None or problem else view_statement(row, rebuilt),
                problem=problem,
            )
        )
    return await with_their_readers(connection, found, view_statement)


def _owner_problem(row: asyncpg.Record, table: _Campaigns) -> str | None:
    """A view reads with its owner's rights; the compatibility view reads with those of the owner of campaigns."""
    access = table.access
    if not access["row_security"] or row["owner"] == access["owner"]:
        return None
    if access["owner_sees_all"] and row["owner_sees_all"]:
        return None
    return f"it belongs to {row['owner_name']} and not to the owner of campaigns, and row level security shows the two other rows"


def view_statement(row: asyncpg.Record, definition: str) -> str:
    """The statement that makes a view of this definition with the options that the row's view has."""
    options = f" WITH ({row['options']})" if row["options"] else ""
    verb = "CREATE MATERIALIZED VIEW" if row["relkind"] == "m" else "CREATE OR REPLACE VIEW"
    with_data = "" if row["populated"] else " WITH NO DATA"
    return f"{verb} {row['identity']}{options} AS {definition.rstrip().removesuffix(';')}{with_data}"


async def _policies(connection: Connection, table: _Campaigns) -> list[Dependent]:
    found = []
    # On campaigns itself no view is needed; there, too, the reader's rights do not reach the table of kept values.
    source = table.by_reader if table.reader_view == READER_VIEW else table.by_owner
    expressions = {name: text.replace("{row}", "campaigns.") for name, text in source.kept.items()}
    for row in await connection.fetch(sql_files.query("list_policy_dependents"), table.oid):
        if row["on_campaigns"]:
            change = partial(columns_to_expressions, expressions=expressions, qualifiers=frozenset({"campaigns"}))
        else:
            change = partial(_expression_to_view, table=table)
        rebuilt, problem = _attempt(partial(_policy_statement, row, change))
        found.append(
            Dependent(
                kind="policy",
                identity=row["identity"],
                oid=row["oid"],
                definition=_policy_statement(row, str),
                reads=table.reader_view,
                rebuilt=rebuilt,
                problem=problem or (table.version_problem if row["on_campaigns"] else table.reader_problem),
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


def _expression_to_view(expression: str, table: _Campaigns) -> str:
    return table.to_view("SELECT " + expression, table.reader_view).removeprefix("SELECT ")


async def _triggers(connection: Connection, table: _Campaigns) -> list[Dependent]:
    found = []
    for row in await connection.fetch(sql_files.query("list_trigger_dependents"), table.oid):
        rebuilt, problem = _attempt(partial(trigger_to_phases, row["definition"], table.by_owner.inverse))
        named = _ROW_FIELD.search(row["body"])
        if named:
            problem = f"its function reads {named.group(0)}, and every write would fail"
        definition = row["definition"].replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)
        found.append(
            Dependent(
                kind="trigger",
                identity=row["identity"],
                oid=row["oid"],
                definition=_trigger_statements(row, definition),
                rebuilt=None if problem or rebuilt is None else _trigger_statements(row, rebuilt),
                problem=problem,
            )
        )
    return found


def _trigger_statements(row: asyncpg.Record, definition: str) -> str:
    """The trigger's statement with what it would lose by it. A constraint trigger cannot be replaced, only dropped."""
    statements = [definition]
    if row["is_constraint"]:
        statements.insert(0, f"DROP TRIGGER {row['place']}")
        if row["remark"] is not None:
            remark = row["remark"].replace("'", "''").replace("\\", "\\\\")
            statements.append(f"COMMENT ON TRIGGER {row['place']} IS E'{remark}'")
    if row["state_statement"] is not None:
        statements.append(row["state_statement"])
    return "; ".join(statements)


async def _functions(connection: Connection, table: _Campaigns) -> list[Dependent]:
    found = []
    for row in await connection.fetch(sql_files.query("list_function_dependents"), table.oid):
        definition = row["definition"]
        rebuilt, problem = _attempt(partial(table.to_view, definition, table.reader_view))
        found.append(
            Dependent(
                kind="function",
                identity=row["identity"],
                oid=row["oid"],
                definition=definition,
                reads=table.reader_view,
                rebuilt=rebuilt,
                problem=problem or table.reader_problem,
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
