"""What a statement is read in: its surroundings, and what a FROM list offers at one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import postgast
from google.protobuf.message import Message

LEGACY = frozenset({"campaign_type", "status", "launch_sequence"})
How: TypeAlias = Literal["name", "row", "whole row", "spread", "position"]


@dataclass(frozen=True)
class Mention:
    """One place in a statement.

    Attributes:
        column: a legacy column, or what is used of the row.
        offset: in bytes from the beginning of the statement; negative where the parser does not say.
        how: by name; by name from a row that a variable holds (NEW, a record); as a whole row; as a row that is
            spread over the columns of another table; by position.
    """

    column: str
    offset: int
    how: How


@dataclass(frozen=True)
class Surroundings:
    """What a statement is read in.

    Attributes:
        schema: that of campaigns.
        sees_campaigns: whether the bare name campaigns means ours.
        columns: for other relations, by their bare names, which columns bear the name of a legacy one.
        rows: names, in lower case, of variables that hold a row of campaigns: NEW, OLD, a %ROWTYPE.
        row_parameters: numbers of parameters that do.
        transition_tables: names under which a trigger function reads the rows of campaigns that were written.
    """

    schema: str
    sees_campaigns: bool = True
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rows: frozenset[str] = frozenset()
    row_parameters: frozenset[int] = frozenset()
    transition_tables: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    """Something in a FROM list. `columns`: those named like a legacy one; None where that cannot be known."""

    name: str
    how: How | None = None  # how columns of campaigns are reached through it; None: it is something else
    columns: frozenset[str] | None = frozenset()


@dataclass(frozen=True)
class Scope:
    """What names mean at one place: the innermost FROM list first, and what WITH has defined."""

    lists: tuple[tuple[Source, ...], ...] = ()
    common: Mapping[str, Source] = field(default_factory=dict)

    def inside(self, sources: Sequence[Source]) -> Scope:
        return replace(self, lists=(tuple(sources), *self.lists))

    def find(self, name: str) -> Source | None:
        return next((source for sources in self.lists for source in sources if source.name == name), None)

    def outputs(self, targets: Sequence[Any]) -> Source:
        """What a SELECT or RETURNING list offers to whoever reads from it."""
        how: How | None = None
        columns: frozenset[str] | None = frozenset()
        for target in targets:
            named, value = target.res_target.name, target.res_target.val
            reference = value.column_ref if value.WhichOneof("node") == "column_ref" else None
            if reference is None or reference.fields[-1].WhichOneof("node") != "a_star":
                name = named or (reference.fields[-1].string.sval if reference is not None else "")
                columns = columns if columns is None else columns | ({name} & LEGACY)
                continue
            qualifier = reference.fields[-2].string.sval if len(reference.fields) > 1 else None
            for source in self.lists[0]:
                if qualifier in (None, source.name):
                    how = how or source.how
                    columns = None if columns is None or source.columns is None else columns | source.columns
        return Source("", how, columns)


def renamed(source: Source, name: str, columns: Sequence[str]) -> Source:
    """A source under its alias; columns that are renamed bear no legacy name any more, or do by chance."""
    if columns:
        return Source(name, None, frozenset(columns) & LEGACY)
    return replace(source, name=name)


def parts_of(message: Message, leave_out: frozenset[str] | set[str] = frozenset()) -> Iterator[Message]:
    """The messages directly inside one."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.name in leave_out:
            continue
        yield from value if isinstance(value, Sequence) or hasattr(value, "__len__") else [value]


def values_of(select: Any) -> list[Any]:
    """What stands in the rows of VALUES."""
    return [value for row in select.values_lists for value in row.list.items]


def with_spread_rows(found: Sequence[Mention], select: Any) -> list[Mention]:
    """Tell whole rows that stand as c.* or (c).* in a SELECT or VALUES: an INSERT spreads them over its columns."""
    places = set()
    for value in [*(target.res_target.val for target in select.target_list), *values_of(select)]:
        kind = value.WhichOneof("node")
        if kind == "a_indirection" and value.a_indirection.indirection[-1].HasField("a_star"):
            places.add(value.a_indirection.arg.column_ref.location)
        elif kind == "column_ref" and value.column_ref.fields[-1].HasField("a_star"):
            places.add(value.column_ref.location)
    return [replace(one, how="spread") if one.how == "whole row" and one.offset in places else one for one in found]


def parsed(text: str) -> Message | None:
    """The tree of a text, or None where PostgreSQL's grammar does not know it."""
    try:
        tree: Message = postgast.parse(text)
    except postgast.PgQueryError:
        return None
    return tree
