"""Statements that a function puts together: read as far as literals tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as nodes

NAME, VALUE = "unknown_name", "'unknown value'"
_PLACEHOLDER = re.compile(r"%(?:(?P<percent>%)|(?:(?P<position>\d+)\$)?-?\d*(?P<kind>[sIL]))")
_LITERALS, _NAMES = frozenset({"quote_literal", "quote_nullable"}), frozenset({"quote_ident"})


@dataclass(frozen=True)
class Composed:
    """A statement as far as it is known.

    Attributes:
        text: with placeholders where a value or a name is put in.
        literals: what of it stands in the function.
        is_sure: whether nothing but values is put in.
    """

    text: str
    literals: str
    is_sure: bool


def compose(expression: Any, variables: Callable[[str], Sequence[Composed]]) -> list[Composed]:
    """What the value of an expression may be.

    Args:
        expression: a node of the parse tree.
        variables: what a variable may hold, as far as its assignments tell; nothing for an unknown one.
    """
    kind = expression.WhichOneof("node")
    node = getattr(expression, kind) if kind else None
    match node:
        case nodes.A_Const() if node.HasField("sval"):
            return [Composed(node.sval.sval, node.sval.sval, is_sure=True)]
        case nodes.TypeCast():
            return compose(node.arg, variables)
        case nodes.A_Expr() if [part.string.sval for part in node.name] == ["||"]:
            return [
                Composed(left.text + right.text, f"{left.literals} {right.literals}", left.is_sure and right.is_sure)
                for left in compose(node.lexpr, variables)
                for right in compose(node.rexpr, variables)
            ][:20]
        case nodes.FuncCall():
            return _call(node, variables)
        case nodes.ColumnRef() if len(node.fields) == 1 and (held := variables(node.fields[0].string.sval.lower())):
            return list(held)
        case _:
            return [_unknown(NAME)]


def may_name_columns(statement: Message) -> bool:
    """Whether a column of campaigns may be hidden behind a placeholder."""
    tables = [table.relname for table in postgast.find_nodes(statement, nodes.RangeVar)]
    if not any(name == "campaigns" or NAME in name for name in tables):
        return False
    columns = [
        part.string.sval for reference in postgast.find_nodes(statement, nodes.ColumnRef) for part in reference.fields
    ]
    columns += [target.name for target in postgast.find_nodes(statement, nodes.ResTarget)]
    return any(NAME in name for name in columns)


def _call(call: Any, variables: Callable[[str], Sequence[Composed]]) -> list[Composed]:
    name = call.funcname[-1].string.sval
    if name in _LITERALS:
        return [Composed(VALUE, "", is_sure=True)]
    if name in {"concat", "concat_ws"} and call.args:
        separator, parts = ("", call.args)
        if name == "concat_ws":
            separator, parts = compose(call.args[0], variables)[0].text, call.args[1:]
        composed = [compose(part, variables)[0] for part in parts]
        return [
            Composed(
                separator.join(part.text for part in composed),
                " ".join(part.literals for part in composed),
                all(part.is_sure for part in composed),
            )
        ]
    if name == "format" and call.args:
        return [_format(template, call.args[1:], variables) for template in compose(call.args[0], variables)]
    return [_unknown(NAME)]


def _format(template: Composed, arguments: Sequence[Any], variables: Callable[[str], Sequence[Composed]]) -> Composed:
    position, literals, sure = 0, [template.literals], template.is_sure

    def put_in(match: re.Match[str]) -> str:
        nonlocal position, sure
        if match["percent"]:
            return "%"
        position = int(match["position"]) if match["position"] else position + 1
        if match["kind"] == "L":
            return VALUE
        given = compose(arguments[position - 1], variables)[0] if position <= len(arguments) else _unknown(NAME)
        literals.append(given.literals)
        sure = sure and given.is_sure
        return given.text

    text = _PLACEHOLDER.sub(put_in, template.text)
    return Composed(text, " ".join(literals), sure)


def _unknown(text: str) -> Composed:
    return Composed(text, "", is_sure=False)
