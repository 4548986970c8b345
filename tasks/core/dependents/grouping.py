"""GROUP BY the primary key of campaigns: what depends on the key goes without saying for a table, not for a view.

The columns that are read besides are put into the GROUP BY clause. Each group is of one row of campaigns, so groups and answers
stay what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as nodes

_IsCampaigns = Callable[[nodes.RangeVar], bool]


def say_what_the_key_implies(tree: Message, is_campaigns: _IsCampaigns, key: Collection[str]) -> None:
    """In every query that groups by the whole key of campaigns, group by its other columns that are read there, too.

    Args:
        tree: a statement as the server prints it; it is changed.
        key: the columns of the table's primary key; where there are none, nothing is changed.
    """
    if not key:
        return
    for query in list(postgast.find_nodes(tree, nodes.SelectStmt)):
        if not query.group_clause:
            continue
        sources = list(_tables(query.from_clause))
        is_alone = len(query.from_clause) == 1 and query.from_clause[0].WhichOneof("node") == "range_var"
        for table in [one for one in sources if is_campaigns(one)]:
            _group(query, table.alias.aliasname or table.relname, key, is_alone=is_alone)


def _group(query: nodes.SelectStmt, alias: str, key: Collection[str], *, is_alone: bool) -> None:
    grouped = [column for one in query.group_clause if (column := _column_of(one, alias, is_alone=is_alone))]
    if not set(key) <= {*grouped}:
        return
    for read in _read_of(query, alias):
        name = _name(read, alias, is_alone=is_alone)
        if name is not None and name not in grouped:
            grouped.append(name)
            query.group_clause.add().column_ref.CopyFrom(read)


def _column_of(node: nodes.Node, alias: str, *, is_alone: bool) -> str | None:
    return _name(node.column_ref, alias, is_alone=is_alone) if node.WhichOneof("node") == "column_ref" else None


def _name(column: nodes.ColumnRef, alias: str, *, is_alone: bool) -> str | None:
    """The column of this table that is meant; * for a whole row, None for a column of another table."""
    names = [field.string.sval if field.WhichOneof("node") == "string" else "*" for field in column.fields]
    match names:
        case [qualifier, name] if qualifier == alias:
            return name
        case [name] if is_alone:
            return name
    return None


def _tables(places: Sequence[nodes.Node]) -> Iterator[nodes.RangeVar]:
    """The tables of a FROM clause itself, not those of queries within it."""
    for place in places:
        kind = place.WhichOneof("node")
        if kind == "range_var":
            yield place.range_var
        elif kind == "join_expr":
            yield from _tables([place.join_expr.larg, place.join_expr.rarg])


def _read_of(query: nodes.SelectStmt, alias: str) -> Iterator[nodes.ColumnRef]:
    """Column references outside of FROM, WHERE and GROUP BY, but for queries that give the alias to something else."""
    for field, value in query.ListFields():
        if field.name not in {"from_clause", "where_clause", "group_clause"} and field.message_type is not None:
            for inner in value if isinstance(value, Sequence) else [value]:
                yield from _columns(inner, alias)


def _columns(message: Message, alias: str) -> Iterator[nodes.ColumnRef]:
    if isinstance(message, nodes.ColumnRef):
        yield message
        return
    if isinstance(message, nodes.SelectStmt) and any(
        (table.alias.aliasname or table.relname) == alias for table in postgast.find_nodes(message, nodes.RangeVar)
    ):
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if isinstance(value, Sequence) else [value]:
            yield from _columns(inner, alias)
