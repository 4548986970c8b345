"""Rewriting on PostgreSQL's own parse tree: campaigns becomes the compatibility view, a legacy column an expression."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as nodes

from tasks.core.dependents.grouping import say_what_the_key_implies

LEGACY_COLUMNS = ("campaign_type", "status", "launch_sequence")
# What a phases column answers to in an UPDATE OF list.
PHASES_OF = {"campaign_type": "current_phase", "status": "phase_status"}


_BY_PLACE = "it renames columns of campaigns by their places, and the legacy columns come back in other places"


class CannotRewrite(Exception):
    """Why a definition cannot be rewritten."""


def to_view(statement: str, schema: str, view: str, key: Collection[str] = ()) -> str:
    """Let a statement, as the server prints it with nothing on its search path, read `view` wherever it read campaigns.

    Args:
        key: the columns of the primary key of campaigns: a view has none, so what is grouped by it says more.

    Raises:
        CannotRewrite: if it writes to campaigns, or renames its columns by their places: those are others after the way back.
    """
    tree = postgast.parse(statement)
    for kind in (nodes.InsertStmt, nodes.UpdateStmt, nodes.DeleteStmt, nodes.MergeStmt):
        for write in postgast.find_nodes(tree, kind):
            if _is_campaigns(write.relation, schema):
                message = "it writes to campaigns, and the compatibility view is for reading"
                raise CannotRewrite(message)
    for join in postgast.find_nodes(tree, nodes.JoinExpr):
        tables = [table for side in (join.larg, join.rarg) for table in postgast.find_nodes(side, nodes.RangeVar)]
        if join.alias.colnames and any(_is_campaigns(table, schema) for table in tables):
            raise CannotRewrite(_BY_PLACE)
    say_what_the_key_implies(tree, lambda table: _is_campaigns(table, schema), key)
    for table in list(postgast.find_nodes(tree, nodes.RangeVar)):
        if _is_campaigns(table, schema):
            if table.alias.colnames:
                raise CannotRewrite(_BY_PLACE)
            if not table.alias.aliasname:
                table.alias.aliasname = table.relname
            table.relname = view
    return postgast.deparse(tree)


def to_relations(statement: str, names: Mapping[tuple[str, str], str]) -> str:
    """Let a statement, as the server prints it, read other relations of the same schemas.

    Args:
        names: the new name by schema and name.
    """
    tree = postgast.parse(statement)
    known = [*_names_of_tables(tree)]
    for table in list(postgast.find_nodes(tree, nodes.RangeVar)):
        renamed = names.get((table.schemaname, table.relname))
        if renamed is None:
            continue
        if not table.alias.aliasname and known.count(table.relname) > 1:
            table.alias.aliasname = table.relname
        elif not table.alias.aliasname:
            # Without an alias of its own it is called by its name, now and when it is renamed.
            for column in postgast.find_nodes(tree, nodes.ColumnRef):
                if len(column.fields) > 1 and column.fields[0].string.sval == table.relname:
                    column.fields[0].string.sval = renamed
        table.relname = renamed
    for create in postgast.find_nodes(tree, nodes.CreateTableAsStmt):
        create.into.rel.ClearField("alias")
    return postgast.deparse(tree)


def _names_of_tables(tree: Message) -> Iterator[str]:
    """What column references of a statement may be qualified with, as often as it is given."""
    for table in postgast.find_nodes(tree, nodes.RangeVar):
        yield table.alias.aliasname or table.relname
    for kind in (nodes.RangeSubselect, nodes.RangeFunction, nodes.RangeTableFunc, nodes.JoinExpr):
        for place in postgast.find_nodes(tree, kind):
            if place.alias.aliasname:
                yield place.alias.aliasname
    for query in postgast.find_nodes(tree, nodes.CommonTableExpr):
        yield query.ctename


def reads_whole_rows(statement: str, schema: str) -> bool:
    """Whether a definition, as the server prints it, hands on rows of campaigns as a whole: to_jsonb(c), SELECT c."""
    tree = postgast.parse(statement)
    aliases = {
        table.alias.aliasname or table.relname
        for table in postgast.find_nodes(tree, nodes.RangeVar)
        if _is_campaigns(table, schema)
    }
    for column in postgast.find_nodes(tree, nodes.ColumnRef):
        fields = [field.WhichOneof("node") for field in column.fields]
        # The server writes every plain star out as columns; a star that is left is a whole row.
        if fields == ["string", "a_star"] and column.fields[0].string.sval in aliases:
            return True
        if fields == ["string"] and column.fields[0].string.sval in aliases:
            return True
    return False


def columns_to_expressions(expression: str, expressions: Mapping[str, str], *, qualifiers: frozenset[str]) -> str:
    """Put expressions in the place of column references, in an expression as the server prints it.

    Args:
        expressions: by column name; `{row}` in them stands for the qualifier that the reference had.
        qualifiers: the table names under which the columns may be referenced; unqualified ones are always meant.
    """
    tree = postgast.parse("SELECT " + expression)
    _replace_columns(tree, expressions, qualifiers)
    return postgast.deparse(tree).removeprefix("SELECT ")


def trigger_to_phases(definition: str, expressions: Mapping[str, str]) -> str:
    """A trigger's definition with its UPDATE OF list and WHEN clause on the phases.

    Raises:
        CannotRewrite: if the list names nothing that remains.
    """
    tree = postgast.parse(definition)
    (trigger,) = postgast.find_nodes(tree, nodes.CreateTrigStmt)
    names = [column.string.sval for column in trigger.columns]
    wanted: list[str] = []
    for name in names:
        if name not in LEGACY_COLUMNS:
            wanted.append(name)
        elif name in PHASES_OF:
            wanted.append(PHASES_OF[name])
    if names and not wanted:
        message = f"it fires on {', '.join(names)}, for which the phases have no column"
        raise CannotRewrite(message)
    del trigger.columns[:]
    for name in dict.fromkeys(wanted):
        trigger.columns.add().string.sval = name
    if trigger.HasField("when_clause"):
        _replace_columns(trigger, expressions, frozenset({"old", "new"}))
    trigger.replace = not trigger.isconstraint
    return postgast.deparse(tree)


def _replace_columns(tree: Message, expressions: Mapping[str, str], qualifiers: frozenset[str]) -> None:
    for node in list(_wrappers(tree)):
        if node.WhichOneof("node") != "column_ref":
            continue
        names = [field.string.sval for field in node.column_ref.fields if field.WhichOneof("node") == "string"]
        if names[-1] not in expressions or (len(names) > 1 and names[-2] not in qualifiers):
            continue
        row = names[-2] + "." if len(names) > 1 else ""
        replacement = postgast.parse("SELECT " + expressions[names[-1]].replace("{row}", row))
        target = replacement.stmts[0].stmt.select_stmt.target_list[0].res_target.val
        node.CopyFrom(target)


def _wrappers(message: Message) -> Iterator[nodes.Node]:
    """Every place in a tree that holds one node of any kind, so that another kind can be put there."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if isinstance(value, Sequence) else [value]:
            if isinstance(inner, nodes.Node):
                yield inner
            yield from _wrappers(inner)


def _is_campaigns(table: nodes.RangeVar, schema: str) -> bool:
    """Never by its name alone: a query of a WITH clause may be called campaigns, too."""
    return bool(table.relname == "campaigns" and table.schemaname == schema)
