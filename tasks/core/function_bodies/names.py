"""Where an SQL statement names a legacy column of campaigns: resolved as PostgreSQL does, scope by scope, on its parse tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message
from postgast import pg_query_pb2 as nodes

from tasks.core.function_bodies.scopes import (
    LEGACY,
    How,
    Mention,
    Scope,
    Source,
    Surroundings,
    parts_of,
    renamed,
    values_of,
    with_spread_rows,
)

# It counts rows and hands none on.
NO_READERS = frozenset({"count"})


def mentions(tree: Message, surroundings: Surroundings, *, bare: bool = False) -> list[Mention]:
    """Every place where a parsed text names a legacy column, hands on a whole row of campaigns or relies on its columns' order.

    Args:
        bare: the text is an expression behind a SELECT of ours: a row that stands there alone goes nowhere.
    """
    reader = _Reader(surroundings, bare=bare)
    for statement in tree.stmts:  # type: ignore[attr-defined]  # protobuf messages are typed loosely here
        reader.visit(statement.stmt, Scope())
    return reader.found


def reads_stars(tree: Message, surroundings: Surroundings) -> bool:
    """Whether what a statement returns has all columns of campaigns among its own."""
    (statement,) = tree.stmts[:1] or (None,)  # type: ignore[attr-defined]  # protobuf messages are typed loosely here
    if statement is None:
        return False
    return _Reader(surroundings, bare=True).visit(statement.stmt, Scope()).how is not None


class _Reader:
    def __init__(self, surroundings: Surroundings, *, bare: bool) -> None:
        self.around = surroundings
        self.bare = bare
        self.found: list[Mention] = []

    def visit(self, message: Any, scope: Scope, *, handed_on: bool = False) -> Source:
        """Read a part of the tree; for a statement, what it returns as a source for others."""
        if isinstance(message, nodes.Node):
            kind = message.WhichOneof("node")
            return _NOTHING if kind is None else self.visit(getattr(message, kind), scope, handed_on=handed_on)
        statement = _STATEMENTS.get(type(message))
        if statement is not None:
            returned: Source = statement(self, message, scope)
            return returned
        expression = _EXPRESSIONS.get(type(message))
        if expression is not None:
            expression(self, message, scope, handed_on)
            return _NOTHING
        for part in parts_of(message):
            self.visit(part, scope)
        return _NOTHING

    # Statements

    def select(self, statement: Any, scope: Scope) -> Source:
        scope = self.common_tables(statement, scope)
        if statement.HasField("larg"):
            left = self.visit(statement.larg, scope)
            self.visit(statement.rarg, scope)
            return left
        scope = scope.inside(self.sources(statement.from_clause, scope))
        for part in parts_of(statement, leave_out={"with_clause", "from_clause", "into_clause"}):
            self.visit(part, scope)
        return scope.outputs(statement.target_list)

    def insert(self, statement: Any, scope: Scope) -> Source:
        scope = self.common_tables(statement, scope)
        target = self.table(statement.relation, scope)
        if target.how:
            self.targets(statement.cols)
            if not statement.cols and statement.HasField("select_stmt"):
                self.note("the order of its columns", statement.relation.location, "position")
        self.visit(statement.select_stmt, scope)
        if not target.how:
            # VALUES (OLD.*) hands a row on as SELECT OLD.* does.
            for value in values_of(statement.select_stmt.select_stmt):
                self.visit(value, scope, handed_on=True)
            self.found = with_spread_rows(self.found, statement.select_stmt.select_stmt)
        scope = scope.inside([target, replace(target, name="excluded")])
        conflict = statement.on_conflict_clause
        if target.how:
            self.targets(conflict.target_list)
            self.index_elements(conflict.infer.index_elems)
        self.visit(conflict, scope)
        return self.returned(statement.returning_clause.exprs, scope)

    def update(self, statement: Any, scope: Scope) -> Source:
        scope = self.common_tables(statement, scope)
        target = self.table(statement.relation, scope)
        if target.how:
            self.targets(statement.target_list)
        scope = scope.inside([target, *self.sources(statement.from_clause, scope)])
        self.visit_all([*statement.target_list, statement.where_clause], scope)
        return self.returned(statement.returning_clause.exprs, scope)

    def delete(self, statement: Any, scope: Scope) -> Source:
        scope = self.common_tables(statement, scope)
        scope = scope.inside([self.table(statement.relation, scope), *self.sources(statement.using_clause, scope)])
        self.visit(statement.where_clause, scope)
        return self.returned(statement.returning_clause.exprs, scope)

    def merge(self, statement: Any, scope: Scope) -> Source:
        scope = self.common_tables(statement, scope)
        target = self.table(statement.relation, scope)
        scope = scope.inside([target, *self.sources([statement.source_relation], scope)])
        for clause in statement.merge_when_clauses:
            if target.how:
                self.targets(clause.merge_when_clause.target_list)
        self.visit_all([statement.join_condition, *statement.merge_when_clauses], scope)
        return self.returned(statement.returning_clause.exprs, scope)

    def copy(self, statement: Any, scope: Scope) -> Source:
        if self.table(statement.relation, scope).how:
            for name in statement.attlist:
                self.column(name.string.sval, statement.relation.location)
            if not statement.attlist:
                self.note("the order of its columns", statement.relation.location, "position")
        self.visit(statement.query, scope)
        return _NOTHING

    def alter(self, statement: Any, scope: Scope) -> Source:
        if self.table(statement.relation, scope).how:
            for command in statement.cmds:
                self.column(command.alter_table_cmd.name, statement.relation.location)
        return _NOTHING

    def index(self, statement: Any, scope: Scope) -> Source:
        target = self.table(statement.relation, scope)
        if target.how:
            self.index_elements([*statement.index_params, *statement.index_including_params])
        self.visit_all([*statement.index_params, statement.where_clause], scope.inside([target]))
        return _NOTHING

    def returned(self, returning: Sequence[Any], scope: Scope) -> Source:
        self.visit_all(returning, scope)
        return scope.outputs(returning)

    def visit_all(self, parts: Sequence[Any], scope: Scope) -> None:
        for part in parts:
            self.visit(part, scope)

    def targets(self, columns: Sequence[Any]) -> None:
        """The columns that INSERT, UPDATE and MERGE write stand in no column reference."""
        for target in columns:
            self.column(target.res_target.name, target.res_target.location)

    def index_elements(self, elements: Sequence[Any]) -> None:
        for element in elements:
            self.column(element.index_elem.name, -1)

    # What a FROM list offers

    def common_tables(self, statement: Any, scope: Scope) -> Scope:
        for common in statement.with_clause.ctes:
            expression = common.common_table_expr
            # A recursive one reads itself; its first part says what it returns.
            known = {**scope.common, expression.ctename: Source(expression.ctename)}
            result = self.visit(expression.ctequery, replace(scope, common=known))
            offered = renamed(result, expression.ctename, [name.string.sval for name in expression.aliascolnames])
            scope = replace(scope, common={**scope.common, expression.ctename: offered})
        return scope

    def sources(self, items: Sequence[Any], scope: Scope) -> list[Source]:
        found: list[Source] = []
        conditions: list[Any] = []
        for item in items:
            self.source(item, scope, found, conditions)
        self.visit_all(conditions, scope.inside(found))
        return found

    def source(self, item: Any, scope: Scope, found: list[Source], conditions: list[Any]) -> None:
        kind = item.WhichOneof("node")
        match kind:
            case "range_var":
                found.append(self.table(item.range_var, scope))
            case "join_expr":
                self.source(item.join_expr.larg, scope, found, conditions)
                self.source(item.join_expr.rarg, scope, found, conditions)
                conditions.append(item.join_expr.quals)
            case "range_table_sample":
                self.source(item.range_table_sample.relation, scope, found, conditions)
                conditions.extend(item.range_table_sample.args)
            case "range_subselect":
                result = self.visit(item.range_subselect.subquery, scope.inside(found))
                alias = item.range_subselect.alias
                found.append(renamed(result, alias.aliasname, [name.string.sval for name in alias.colnames]))
            case "range_function":
                self.visit_all(item.range_function.functions, scope.inside(found))
                found.append(Source(item.range_function.alias.aliasname, columns=None))
            case None:
                pass
            case _:
                self.visit(item, scope.inside(found))

    def table(self, relation: Any, scope: Scope) -> Source:
        alias = relation.alias.aliasname or relation.relname
        if not relation.schemaname and relation.relname in scope.common:
            return replace(scope.common[relation.relname], name=alias)
        if not relation.schemaname and relation.relname.lower() in self.around.transition_tables:
            return Source(alias, "row", LEGACY)
        if relation.relname == "campaigns":
            ours = relation.schemaname == self.around.schema or (not relation.schemaname and self.around.sees_campaigns)
            return Source(alias, "name" if ours else None, LEGACY)
        return Source(alias, None, self.around.columns.get(relation.relname, frozenset()))

    # Expressions

    def reference(self, reference: Any, scope: Scope, handed_on: bool) -> None:  # noqa: FBT001 - all readers of expressions are alike
        fields = [part.string.sval for part in reference.fields if part.WhichOneof("node") == "string"]
        star = reference.fields[-1].WhichOneof("node") == "a_star"
        if star or (len(fields) == 1 and fields[0] not in LEGACY):
            if handed_on:
                self.whole_row(fields, reference.location, scope)
            return
        name, qualifiers = fields[-1], fields[:-1]
        how = self.qualified(qualifiers[-1], scope) if qualifiers else self.unqualified(name, scope)
        if how is not None and name in LEGACY:
            self.note(name, reference.location, how)

    def unqualified(self, name: str, scope: Scope) -> How | None:
        for sources in scope.lists:
            ours = next((source for source in sources if source.how is not None), None)
            if ours is not None:
                return ours.how
            if any(source.columns is not None and name in source.columns for source in sources):
                return None
        return None

    def qualified(self, qualifier: str, scope: Scope) -> How | None:
        source = scope.find(qualifier)
        if source is not None:
            return source.how
        return "row" if qualifier.lower() in self.around.rows else None

    def whole_row(self, fields: Sequence[str], location: int, scope: Scope) -> None:
        if not fields:
            if scope.lists and any(source.how for source in scope.lists[0]):
                self.note("every column", location, "whole row")
        elif self.qualified(fields[-1], scope) is not None:
            self.note("the whole row", location, "whole row")

    def indirection(self, message: Any, scope: Scope, handed_on: bool) -> None:  # noqa: FBT001, ARG002 - every visitor has this signature
        """(c).status and $1.status."""
        first, kind = message.indirection[0], message.arg.WhichOneof("node")
        name = first.string.sval if first.WhichOneof("node") == "string" else ""
        if name in LEGACY and kind == "param_ref" and message.arg.param_ref.number in self.around.row_parameters:
            self.note(name, message.arg.param_ref.location, "row")
        elif name in LEGACY and kind == "column_ref":
            how = self.qualified(message.arg.column_ref.fields[-1].string.sval, scope)
            if how is not None:
                self.note(name, message.arg.column_ref.location, how)
        elif kind == "column_ref" and message.indirection[-1].WhichOneof("node") == "a_star":
            fields = [part.string.sval for part in message.arg.column_ref.fields if part.WhichOneof("node") == "string"]
            self.whole_row(fields, message.arg.column_ref.location, scope)
        else:
            self.visit(message.arg, scope)
        self.visit_all(message.indirection, scope)

    def call(self, call: Any, scope: Scope, handed_on: bool) -> None:  # noqa: FBT001, ARG002 - every visitor has this signature
        counts = bool(call.funcname) and call.funcname[-1].string.sval in NO_READERS
        for argument in call.args:
            self.visit(argument, scope, handed_on=not counts)
        for part in parts_of(call, leave_out={"args"}):
            self.visit(part, scope)

    def target(self, target: Any, scope: Scope, handed_on: bool) -> None:  # noqa: FBT001, ARG002 - every visitor has this signature
        self.visit(target.val, scope, handed_on=not self.bare)
        self.visit_all(target.indirection, scope)

    def cast(self, cast: Any, scope: Scope, handed_on: bool) -> None:  # noqa: FBT001, ARG002 - every visitor has this signature
        self.visit(cast.arg, scope, handed_on=True)

    def sub_link(self, link: Any, scope: Scope, handed_on: bool) -> None:  # noqa: FBT001, ARG002 - every visitor has this signature
        self.visit(link.testexpr, scope)
        before = self.bare
        # EXISTS (SELECT * ...) hands nothing on.
        self.bare = link.sub_link_type == nodes.EXISTS_SUBLINK
        self.visit(link.subselect, scope)
        self.bare = before

    # Notes

    def column(self, name: str, location: int) -> None:
        if name in LEGACY:
            self.note(name, location, "name")

    def note(self, column: str, location: int, how: How) -> None:
        mention = Mention(column, location, how)
        if mention not in self.found:
            self.found.append(mention)


_NOTHING = Source("")
_STATEMENTS: Mapping[type[Any], Any] = {
    nodes.SelectStmt: _Reader.select,
    nodes.InsertStmt: _Reader.insert,
    nodes.UpdateStmt: _Reader.update,
    nodes.DeleteStmt: _Reader.delete,
    nodes.MergeStmt: _Reader.merge,
    nodes.CopyStmt: _Reader.copy,
    nodes.AlterTableStmt: _Reader.alter,
    nodes.IndexStmt: _Reader.index,
}
_EXPRESSIONS: Mapping[type[Any], Any] = {
    nodes.ColumnRef: _Reader.reference,
    nodes.A_Indirection: _Reader.indirection,
    nodes.FuncCall: _Reader.call,
    nodes.ResTarget: _Reader.target,
    nodes.TypeCast: _Reader.cast,
    nodes.SubLink: _Reader.sub_link,
}
