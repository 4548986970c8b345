"""What hangs on the legacy columns: what is moved, what stays, what is in the way, each with the reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tasks.core.database import Connection, connect
from tasks.core.dependents import Dependent
from tasks.core.dependents.compatibility import VIEW
from tasks.core.dependents.rewrite import reads_whole_rows
from tasks.core.preflight.subject import Record, Subject, counted, listed
from tasks.core.rehearsal import CannotRehearse, Rehearsal, rehearse, taken_back

# The rehearsal gives up soon: it waits for nothing that an application holds.
REHEARSAL_SETTINGS = {"lock_timeout": "2s", "statement_timeout": "120s", "quote_all_identifiers": "off"}
WHY = {
    "pg_rewrite": "a rule that reads a legacy column; a rule is not moved, as what it does may write",
    "pg_policy": "a row security policy over a legacy column",
    "pg_proc": "a function that is bound to a legacy column",
    "pg_trigger": "a trigger that names a legacy column",
    "pg_attrdef": "computed from a legacy column, and DROP COLUMN would take it along; computed from the phases it would have"
    " other values, as it cannot look up how a status was written",
    "pg_statistic_ext": "extended statistics over a legacy column",
    "pg_publication_rel": "a publication that filters its rows by a legacy column; a filter by the phases would publish others",
    "pg_class": "it reads a legacy column directly, such as through a function that takes or returns its rows",
}
WHY_RELATION = {
    "S": "a sequence that is owned by a legacy column, and would go with it",
}
WHY_CONSTRAINT = {
    "c": "a check that ties a legacy column to other columns: only you can say what of it shall go on",
    "f": "a foreign key over a legacy column",
    "u": "a unique constraint over a legacy column",
    "p": "a primary key over a legacy column",
    "x": "an exclusion constraint over a legacy column",
}
REMEDY = (
    "Drop it or rewrite it on current_phase and phase_status, which are there after --stop-after transform; nothing is dropped"
    " with CASCADE."
)
SWAPPED = "{0} is built anew and swapped, and {1} is bound to the old one"


@dataclass(frozen=True)
class _Closure:
    """pg_depend's closure: what is moved, what 000035 handles itself, what stays as it is, what is in the way and why."""

    moved: list[Dependent]
    handled: list[str]
    stays: list[str]
    blocked: list[tuple[str, str]]


async def check_dependents(subject: Subject) -> None:
    """The whole closure from pg_depend. What can be kept is tried out first, in a transaction that is taken back."""
    rehearsal: Rehearsal | None = None
    closure: list[Record] = []
    try:
        async with _stage(subject) as connection:
            rehearsal = await rehearse(connection, subject.schema, subject.campaigns_oid, subject.parameters)
    except CannotRehearse as reason:
        passes = isinstance(reason.__cause__, asyncpg.LockNotAvailableError | asyncpg.QueryCanceledError)
        is_refused = not passes and bool(await subject.fetch("find_event_triggers"))
        (subject.block if is_refused else subject.warn)(
            "rehearsal-impossible",
            f"whether dependents of the legacy columns can be moved could not be tried out here: {reason}",
            "Each of them counts as a blocker until it can: let this role create objects in the schema.",
        )
    moved = rehearsal.dependents if rehearsal is not None else []
    views = [one.oid for one in moved if one.kind in {"view", "materialized view"}]
    closure = await subject.fetch("list_legacy_closure", subject.campaigns_oid, views)
    sorted_out = _sort_out(closure, moved)
    for description, why in sorted_out.blocked:
        subject.block_contract(
            "dependent",
            f"{description} depends on campaign_type, status or launch_sequence: {why}",
            REMEDY,
            [description],
        )
    for row in await subject.fetch("find_unique_rules", subject.campaigns_oid):
        subject.block_contract(
            "unique-rule",
            f"{row['kind']} {row['identity']} rests on a legacy column, and nothing would keep its rule once that is gone:"
            f" {row['definition']}",
            "Drop it, or put one on current_phase and phase_status in its place after --stop-after transform.",
            [row["identity"]],
        )
    _tell_moved(subject, sorted_out)
    await _tell_materialized(subject, [one for one in sorted_out.moved if one.kind == "materialized view"])
    if sorted_out.handled:
        subject.warn(
            "dependents-recorded",
            f"000035 takes the legacy columns out of {listed(sorted_out.handled)}",
            "What is taken out is recorded, and the way back puts it in again.",
            sorted_out.handled,
        )


@asynccontextmanager
async def _stage(subject: Subject) -> AsyncIterator[Connection]:
    """A place for the rehearsal: preflight's own transaction reads only, so a session beside it."""
    if await subject.connection.fetchval("SELECT current_setting('transaction_read_only')") == "off":
        async with taken_back(subject.connection):
            yield subject.connection
        return
    async with (
        connect(
            subject.database, schema=subject.schema, purpose="rehearsal", settings=REHEARSAL_SETTINGS
        ) as connection,
        taken_back(connection),
    ):
        yield connection


def _sort_out(closure: Sequence[Record], found: Sequence[Dependent]) -> _Closure:
    by_oid = {(_catalog(one), one.oid): one for one in found}
    result = _Closure([one for one in found if not one.problem], [], [], [])
    for row in closure:
        one = by_oid.get((row["catalog"], row["oid"]))
        if row["materialized_views"]:
            bound = listed([SWAPPED.format(view, "this") for view in row["materialized_views"]])
            result.blocked.append((row["description"], bound))
        elif one is not None:
            if one.problem:
                result.blocked.append((row["description"], one.problem))
        elif row["is_of_campaigns"] or (row["catalog"] == "pg_publication_rel" and not row["is_filtered"]):
            result.handled.append(row["description"])
        elif row["is_direct"] or not found:
            result.blocked.append((row["description"], _why(row)))
        else:
            result.stays.append(row["description"])
    return result


def _catalog(one: Dependent) -> str:
    catalogs = {"policy": "pg_policy", "trigger": "pg_trigger", "function": "pg_proc"}
    return catalogs.get(one.kind, "pg_class")


def _why(row: Record) -> str:
    if row["catalog"] == "pg_class" and row["kind"] in WHY_RELATION:
        return WHY_RELATION[row["kind"]]
    if row["catalog"] == "pg_constraint":
        return WHY_CONSTRAINT.get(row["kind"], "a constraint that ties a legacy column to something else")
    return WHY.get(row["catalog"], "it is of a kind that this migration does not know how to keep")


def _tell_moved(subject: Subject, closure: _Closure) -> None:
    if not closure.moved:
        return
    moved = [f"{one.kind} {one.identity}" for one in closure.moved]
    stays = f"; these stay as they are and read through them: {listed(closure.stays)}" if closure.stays else ""
    subject.warn(
        "dependents-moved",
        f"{counted(len(moved), 'dependent')} of the legacy columns will read {subject.schema}.{VIEW} or the phases"
        f" instead, tried out here: {listed(moved)}{stays}",
        "They answer as before. The plan shows their new definitions; the way back brings the old ones back.",
        moved,
    )


async def _tell_materialized(subject: Subject, moved: list[Dependent]) -> None:
    """What building them anew needs, and what the way back, which builds them while both models live, leaves in them."""
    whole = [one.identity for one in moved if one.reads and reads_whole_rows(one.definition, subject.schema)]
    if whole:
        subject.warn(
            "materialized-whole-rows",
            f"{listed(whole)}: keeps whole rows of campaigns (to_jsonb); they have the legacy keys as before, but after a way"
            " back, on which it is built while both models live, those of the phases, too",
            "REFRESH MATERIALIZED VIEW after a way back.",
            whole,
        )
    for row in await subject.fetch("find_foreign_sources", [one.oid for one in moved]):
        subject.warn(
            "materialized-from-afar",
            f"materialized view {row['view']} is built anew from foreign tables, too: {row['tables']}",
            f"Make sure that server {row['servers']} answers; if it does not, the run stops there with both models live.",
            [row["view"]],
        )
