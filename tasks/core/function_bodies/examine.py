"""What one function does with the legacy columns, line by line."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from postgast import scan

from tasks.core.function_bodies.dynamic import Composed, compose, may_name_columns
from tasks.core.function_bodies.names import mentions, reads_stars
from tasks.core.function_bodies.plpgsql import CannotParse, Header, Parsed, Piece, parse_body
from tasks.core.function_bodies.scopes import LEGACY, How, Mention, Surroundings, parsed
from tasks.core.models import Model

Found = Literal["named", "row", "whole row", "spread", "position", "word", "not looked into"]
_FOUND: dict[How, Found] = {
    "name": "named", "row": "row", "whole row": "whole row", "spread": "spread", "position": "position",
}  # fmt: skip
_SURE_WORD = re.compile(r"\b(campaign_type|launch_sequence)\b", re.IGNORECASE)
_WORD = re.compile(r"\b(campaign_type|launch_sequence|status)\b", re.IGNORECASE)
_TABLE = re.compile(r"\bcampaigns\b", re.IGNORECASE)
SELECT = "SELECT "
STATEMENT_LENGTH = 160


class Use(Model):
    """One use of legacy columns in a function.

    Attributes:
        line: of the body, from 1 on, as the server's error messages count.
        columns: the legacy columns named, or what is used of the whole row.
        how: named in SQL; read from a row that a variable holds (NEW, a record); a whole row handed on, which would lose the
            legacy keys without an error; a row spread over the columns of another table, which fails as soon as there are more
            of them; by the columns' order; a word found in a language that cannot be parsed; or a
            statement that is put together at run time and could not be looked into.
    """

    line: int
    columns: tuple[str, ...]
    how: Found
    statement: str


@dataclass(frozen=True)
class Body:
    """The text of a function and what it is read in."""

    language: str
    text: str
    header: Header
    around: Surroundings


def examine(body: Body) -> list[Use]:
    """Every use of legacy columns, in the order of the lines, once per line and kind."""
    match body.language:
        case "sql":
            uses = list(_sql(body))
        case "plpgsql":
            uses = _plpgsql(body)
        case _:
            uses = _words(body)
    return _gathered(uses)


def _sql(body: Body) -> Iterator[Use]:
    tree = parsed(body.text)
    if tree is None:
        yield from _tokens(body)
        return
    for mention in mentions(tree, body.around):
        yield _use(body.text, 0, mention, 1)


def _plpgsql(body: Body) -> list[Use]:
    try:
        pieces = parse_body(body.text, body.header, body.around.schema)
    except CannotParse:
        return _tokens(body)
    around = replace(body.around, rows=body.around.rows | pieces.rows | _filled_rows(pieces, body.around))
    uses = [
        Use(line=line, columns=(column,), how="named", statement=_line(body.text, line))
        for column, line in pieces.column_types
        if column in LEGACY
    ]
    for piece in pieces.pieces:
        uses += _piece(body, piece, around)
        if piece.is_dynamic:
            uses += _dynamic(body, piece, pieces, around)
    return uses


def _filled_rows(pieces: Parsed, around: Surroundings) -> set[str]:
    """Records that are filled with whole rows of campaigns somewhere."""
    found: set[str] = set()
    for piece in pieces.pieces:
        if (
            piece.into
            and not piece.is_dynamic
            and (tree := parsed(piece.text)) is not None
            and reads_stars(tree, around)
        ):
            found.update(piece.into)
    return found


def _piece(body: Body, piece: Piece, around: Surroundings) -> Iterator[Use]:
    texts = [(piece.text, 0)]
    if piece.kind == "assignment":
        texts = [(piece.text[start:stop], start) for start, stop in _sides(piece.text)]
    for text, offset in texts:
        prefix = "" if piece.kind == "statement" else SELECT
        tree = parsed(prefix + text)
        if tree is None:
            continue
        for mention in mentions(tree, around, bare=bool(prefix)):
            moved = replace(mention, offset=mention.offset - len(prefix) if mention.offset >= 0 else -1)
            yield _use(body.text, _place(body.text, piece) + offset, moved, piece.line)


def _sides(text: str) -> list[tuple[int, int]]:
    """Both sides of `target := value`, as character positions."""
    data = text.encode()
    for token in scan(text).tokens:
        if data[token.start : token.end] in {b":=", b"="}:
            start, stop = len(data[: token.start].decode()), len(data[: token.end].decode())
            return [(0, start), (stop, len(text))]
    return [(0, len(text))]


def _place(body: str, piece: Piece) -> int:
    """Where a piece stands in the body, as a character position. The parser blanks INTO out and turns PERFORM into SELECT."""
    start = 0
    for _ in range(piece.line - 1):
        start = body.find("\n", start) + 1
    nearest: int | None = None
    for text in dict.fromkeys((piece.text, piece.text.removeprefix(SELECT))):
        found = body.find(re.split(r"\s{2,}|\n", text, maxsplit=1)[0], start)
        if found >= 0:
            place = found - (len(piece.text) - len(text))
            nearest = place if nearest is None else min(nearest, place)
    return start if nearest is None else nearest


def _dynamic(body: Body, piece: Piece, pieces: Parsed, around: Surroundings) -> Iterator[Use]:
    tree = parsed(SELECT + piece.text)
    expression = tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val if tree is not None else None  # type: ignore[attr-defined]  # protobuf messages are typed loosely here
    texts = compose(expression, lambda name: _held(name, pieces)) if expression is not None else []
    for composed in texts or [Composed("", "", is_sure=False)]:
        inside = parsed(composed.text)
        found = mentions(inside, around) if inside is not None else []
        if found:
            for mention in found:
                yield Use(
                    line=piece.line, columns=(mention.column,), how=_FOUND[mention.how], statement=_short(composed.text)
                )
        elif _may_concern_us(body) and (inside is None or (not composed.is_sure and may_name_columns(inside))):
            yield Use(line=piece.line, columns=(), how="not looked into", statement=_line(body.text, piece.line))


def _may_concern_us(body: Body) -> bool:
    """Without a word of campaigns anywhere in a function what it puts together is somebody else's statement."""
    return bool(_TABLE.search(body.text) or _SURE_WORD.search(body.text))


def _held(name: str, pieces: Parsed) -> Sequence[Composed]:
    """What a variable may hold by its assignments; one that refers to itself grows in ways that are not followed."""
    held: list[Composed] = []
    for piece in pieces.pieces:
        if piece.kind != "assignment":
            continue
        (_, end), *values = _sides(piece.text)
        if piece.text[:end].strip().lower() != name or not values:
            continue
        tree = parsed(SELECT + piece.text[values[0][0] : values[0][1]])
        if tree is not None:
            target = tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val  # type: ignore[attr-defined]  # protobuf messages are typed loosely here
            held += compose(target, lambda _: ())
    return held[:20]


def _tokens(body: Body) -> list[Use]:
    """Where the parser gives up its scanner still tells names from comments and strings."""
    try:
        tokens = scan(body.text).tokens
    except Exception:  # noqa: BLE001 - any text may stand in a function; what cannot be scanned is searched for words
        return _words(body)
    data = body.text.encode()
    words = [(data[token.start : token.end].decode().strip('"').lower(), token.start) for token in tokens]
    has_table = any(word == "campaigns" for word, _ in words)
    uses = []
    for position, (word, start) in enumerate(words):
        qualifier = words[position - 2][0] if position > 1 and words[position - 1][0] == "." else ""
        if word not in LEGACY or (word == "status" and not has_table and qualifier not in body.around.rows):
            continue
        how: Found = "row" if qualifier in body.around.rows else "word"
        line = data[:start].count(b"\n") + 1
        uses.append(Use(line=line, columns=(word,), how=how, statement=_line(body.text, line)))
    return uses


def _words(body: Body) -> list[Use]:
    pattern = _WORD if _TABLE.search(body.text) or body.around.rows else _SURE_WORD
    return [
        Use(line=number, columns=(match[1].lower(),), how="word", statement=_short(line))
        for number, line in enumerate(body.text.splitlines(), start=1)
        for match in pattern.finditer(line)
    ]


def _use(body: str, start: int, mention: Mention, line: int) -> Use:
    """Count the lines up to a mention; `start` is where its statement begins, in characters."""
    if mention.offset >= 0:
        begun = len(body[: max(start, 0)].encode()) if start >= 0 else start
        line = max(body.encode()[: begun + mention.offset].count(b"\n") + 1, line)
    return Use(line=line, columns=(mention.column,), how=_FOUND[mention.how], statement=_line(body, line))


def _gathered(uses: Sequence[Use]) -> list[Use]:
    """One for each line and kind, with all its columns."""
    gathered: dict[tuple[int, str, str], Use] = {}
    for use in uses:
        key = (use.line, use.how, use.statement)
        before = gathered.get(key)
        columns = tuple(dict.fromkeys((*(before.columns if before else ()), *use.columns)))
        gathered[key] = use.model_copy(update={"columns": columns})
    return sorted(gathered.values(), key=lambda use: use.line)


def _line(body: str, line: int) -> str:
    lines = body.splitlines()
    return _short(lines[line - 1]) if 0 < line <= len(lines) else ""


def _short(text: str) -> str:
    return textwrap.shorten(text, STATEMENT_LENGTH, placeholder=" ...")


def names_legacy(uses: Sequence[Any]) -> bool:
    """Whether any of the uses would fail once the columns are gone."""
    return any(use.how not in {"whole row", "not looked into"} for use in uses)
