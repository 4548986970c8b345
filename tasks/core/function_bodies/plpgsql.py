"""The SQL inside a PL/pgSQL body, with its lines: every statement and expression, dynamic ones marked as such.

The parser at hand (libpg_query's) knows no catalog: it refuses types of other schemas and forgets what a %ROWTYPE is. So the
body gets a header of our own, and declared types that it cannot know are replaced by `record`; no line is moved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import postgast
from postgast.pg_query_pb2 import Token

# What libpg_query writes for the variables that every trigger function has; it is no JSON.
_BROKEN = re.compile(r"(?<=[\[,])\{\}\}")
_COLUMN_TYPE = re.compile(r'(?:(?P<schema>"?\w+"?)\.)?"?campaigns"?\.(?P<column>\w+)%TYPE$', re.IGNORECASE)
_OF_CAMPAIGNS = re.compile(r'(?:(?P<schema>"?[^".]+"?)\.)?"?campaigns"?(?:%ROWTYPE)?$', re.IGNORECASE)
_TYPES = (
    "bigint bigserial bit bool boolean box bytea char character cidr circle cstring date decimal double float float4 float8"
    " inet int int2 int4 int8 integer interval json jsonb line lseg macaddr money name national numeric oid path point polygon"
    " real record refcursor regclass regproc regprocedure regtype regrole regnamespace serial smallint text time timestamp"
    " timestamptz timetz tsquery tsvector txid_snapshot pg_snapshot uuid varbit varchar xid xid8 xml"
)
_KNOWN_TYPES = frozenset(_TYPES.split())
_TYPE_ENDS = frozenset({"NOT", "DEFAULT", "COLLATE", "ALIAS", "CURSOR", "SCROLL", "NO"})
_HEADER = "CREATE {kind} body_of_a_function({arguments}){returns} LANGUAGE plpgsql AS {tag}"


class CannotParse(Exception):
    """Why a body cannot be parsed."""


@dataclass(frozen=True)
class Argument:
    """A parameter of a function: its mode as pg_proc has it, and whether it is a row, an array or a cursor."""

    name: str
    mode: str
    kind: str


@dataclass(frozen=True)
class Header:
    """What a function is, as far as its body's meaning depends on it. `returns`: trigger, event_trigger, void, set or value."""

    returns: str
    is_procedure: bool
    arguments: Sequence[Argument]


@dataclass(frozen=True)
class Piece:
    """A statement or an expression.

    Attributes:
        text: SQL as it stands in the body, INTO blanked out; `target := value` for an assignment.
        line: of the body, from 1 on, as PostgreSQL counts.
        kind: statement, expression or assignment.
        is_dynamic: its value is a statement that is run.
        into: variables that take the row it returns.
    """

    text: str
    line: int
    kind: str
    is_dynamic: bool = False
    into: tuple[str, ...] = ()


@dataclass
class Parsed:
    """A body in its pieces; `rows` are the variables declared to hold a row of campaigns."""

    pieces: list[Piece] = field(default_factory=list)
    rows: set[str] = field(default_factory=set)
    column_types: list[tuple[str, int]] = field(default_factory=list)  # campaigns.status%TYPE: column and line


def parse_body(body: str, header: Header, schema: str) -> Parsed:
    """Take a PL/pgSQL body apart.

    Args:
        schema: that of campaigns.

    Raises:
        CannotParse: with the parser's words.
    """
    result = Parsed()
    plain = _with_plain_types(body, schema, result)
    tag = "$body_of_a_function$"
    text = _write_header(header, tag) + plain + tag
    try:
        (function,) = postgast.parse_plpgsql(text)
    except json.JSONDecodeError as error:
        try:
            (function,) = json.loads(_BROKEN.sub("{}", error.doc))
        except ValueError as second:
            raise CannotParse("the parser's answer could not be read") from second
    except (postgast.PgQueryError, ValueError) as error:
        raise CannotParse(str(error)) from error
    content = function["PLpgSQL_function"]
    for datum in content.get("datums", []):
        _read_declaration(datum, schema, result)
    result.pieces += _pieces(content.get("action", {}), 1)
    return result


def _read_declaration(datum: Mapping[str, Any], schema: str, result: Parsed) -> None:
    for variable in datum.values():
        line = max(variable.get("lineno", 1), 1)
        named = _COLUMN_TYPE.match(variable.get("datatype", {}).get("PLpgSQL_type", {}).get("typname", ""))
        if named and _unquoted(named["schema"] or schema) == schema:
            result.column_types.append((named["column"].lower(), line))
        for slot in ("default_val", "cursor_explicit_expr"):
            expression = variable.get(slot, {}).get("PLpgSQL_expr")
            if expression is not None:
                kind = "statement" if slot == "cursor_explicit_expr" else "expression"
                result.pieces.append(Piece(expression["query"], line, kind))


def _pieces(node: Any, line: int, owner: str = "", slot: str = "", into: tuple[str, ...] = ()) -> Iterator[Piece]:
    if isinstance(node, list):
        for item in node:
            yield from _pieces(item, line, owner, slot, into)
        return
    if not isinstance(node, dict):
        return
    if "PLpgSQL_expr" in node:
        expression = node["PLpgSQL_expr"]
        is_dynamic = slot == "dynquery" or (
            owner in {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"} and slot == "query"
        )
        mode = expression.get("parseMode", 0)
        kind = "statement" if mode == 0 else "expression" if mode == 2 else "assignment"  # noqa: PLR2004 - RawParseMode
        yield Piece(expression["query"], line, kind, is_dynamic, into)
        return
    line = max(node.get("lineno", line), 1)
    taking = tuple(_names(node.get("target") or node.get("var")))
    for name, value in node.items():
        if name in {"target", "var"}:
            continue
        if name.startswith("PLpgSQL_"):
            yield from _pieces(value, line, name, slot, into)
        else:
            # What is in a loop's body is not what the loop runs over.
            yield from _pieces(value, line, owner, name, taking if name in {"query", "sqlstmt"} else ())


def _names(target: Any) -> Iterator[str]:
    if not isinstance(target, dict):  # GET DIAGNOSTICS has a number here
        return
    record = target.get("PLpgSQL_rec") or target.get("PLpgSQL_var")
    if record is not None:
        yield record["refname"].lower()


def _write_header(header: Header, tag: str) -> str:
    # The parser takes no VARIADIC; to the body it is an array like any other.
    words = {"i": "IN", "o": "OUT", "b": "INOUT", "v": "IN", "t": "OUT"}
    types = {"row": "record", "campaigns": "record", "array": "text[]", "cursor": "refcursor"}
    typed = [(one, types.get(one.kind, "text")) for one in header.arguments]
    arguments = ", ".join(f"{words[one.mode]} {_quoted(one.name)} {type_name}" for one, type_name in typed)
    out = [type_name for one, type_name in typed if one.mode in "obt"]
    value = ("record" if len(out) > 1 else out[0]) if out else "record" if header.returns == "set" else "text"
    fixed = {"trigger": "trigger", "event_trigger": "event_trigger", "void": "void", "set": f"SETOF {value}"}
    returns = "" if header.is_procedure else f" RETURNS {fixed.get(header.returns, value)}"
    kind = "PROCEDURE" if header.is_procedure else "FUNCTION"
    return _HEADER.format(kind=kind, arguments=arguments, returns=returns, tag=tag)


def _with_plain_types(body: str, schema: str, result: Parsed) -> str:
    """The body with `record` for every declared type that the parser cannot know; rows of campaigns are noted."""
    data = body.encode()
    try:
        tokens = [
            token for token in postgast.scan(body).tokens if token.token not in (Token.SQL_COMMENT, Token.C_COMMENT)
        ]
    except postgast.PgQueryError as error:
        raise CannotParse(str(error)) from error
    words = [data[token.start : token.end].decode() for token in tokens]
    changes: list[tuple[int, int, bytes]] = []
    position = 0
    while position < len(tokens):
        if tokens[position].token != Token.DECLARE:
            position += 1
            continue
        position += 1
        while position < len(tokens) and tokens[position].token != Token.BEGIN_P:
            end = _end_of_declaration(words, position)
            first, last = _type_of_declaration(words, position, end)
            if first < last:
                written = data[tokens[first].start : tokens[last - 1].end].decode()
                plain = _plain_type("".join(words[first:last]))
                if _is_campaigns("".join(words[first:last]), schema):
                    result.rows.add(_unquoted(words[position]))
                if plain is not None:
                    lines = "\n" * written.count("\n")
                    changes.append((tokens[first].start, tokens[last - 1].end, (plain + lines).encode()))
            position = end + 1
    for start, stop, text in reversed(changes):
        data = data[:start] + text + data[stop:]
    return data.decode()


def _end_of_declaration(words: Sequence[str], position: int) -> int:
    depth = 0
    while position < len(words):
        depth += (words[position] == "(") - (words[position] == ")")
        if words[position] == ";" and depth <= 0:
            break
        position += 1
    return position


def _type_of_declaration(words: Sequence[str], position: int, end: int) -> tuple[int, int]:
    """Where the type of `name [CONSTANT] type ...` stands; nowhere for aliases, cursors and labels."""
    first = position + 1
    if first < end and words[first].upper() == "CONSTANT":
        first += 1
    last = first
    while last < end and words[last].upper() not in _TYPE_ENDS and words[last] not in {":=", "="}:
        last += 1
    if last < end and words[last].upper() in {"ALIAS", "CURSOR", "SCROLL", "NO"}:
        return first, first
    return first, last


def _plain_type(written: str) -> str | None:
    """What to write in the place of a type; None where the parser knows it. %TYPE it takes as it is."""
    if written.upper().endswith("%TYPE"):
        return None
    if written.endswith("]"):
        return "text[]"
    base = re.match(r'"?\w+"?', written)
    if "." not in written and "%" not in written and base is not None and _unquoted(base[0]) in _KNOWN_TYPES:
        return None
    return "record"


def _is_campaigns(written: str, schema: str) -> bool:
    named = _OF_CAMPAIGNS.match(written)
    return named is not None and _unquoted(named["schema"] or schema) == schema


def _unquoted(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.lower()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if name else ""
