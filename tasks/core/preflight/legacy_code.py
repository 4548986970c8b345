"""Code that names legacy columns where PostgreSQL keeps no record of it: function bodies, live statements, written views."""

from __future__ import annotations

from tasks.core import legacy_statements
from tasks.core.function_bodies import LegacyFunction, Surroundings, Use, find_legacy_functions
from tasks.core.function_bodies.names import mentions
from tasks.core.function_bodies.scopes import parsed
from tasks.core.models import State
from tasks.core.preflight.subject import Subject, counted, listed

SHOWN = 10
STATEMENT_LENGTH = 120


async def check_functions(subject: Subject) -> None:
    """Functions whose bodies use legacy columns, found by parsing: work for whoever owns them, or a write that would fail."""
    found = await find_legacy_functions(subject.connection, subject.campaigns_oid)
    named = {finding.keys[0] for finding in subject.findings if finding.code == "dependent" and finding.keys}
    for one in found:
        _block_failing_writes(subject, one, named)
        _block_failing_definitions(subject, one)
        _block_spreading_writes(subject, one)
    _warn(
        subject, found, ("named", "row", "position"), "function-names-legacy-column", "uses legacy columns",
        "Rewrite it before the legacy columns go: it fails when it is called, not before.",
    )  # fmt: skip
    _warn(
        subject, found, ("word",), "function-may-name-legacy-column",
        "has the word of a legacy column in it and could not be parsed", "Read it.",
    )  # fmt: skip
    _warn(
        subject, [one for one in found if not one.fails_with_more_columns], ("spread",), "function-spreads-rows",
        "inserts whole rows of campaigns into another table",
        "Name the columns: it fails when it is called as soon as the phases columns are there.",
    )  # fmt: skip
    _warn(
        subject, found, ("whole row",), "function-reads-whole-rows", "hands on whole rows of campaigns",
        "They lose the legacy keys without an error; look at who reads them.",
    )  # fmt: skip
    _warn(
        subject, found, ("not looked into",), "function-not-looked-into",
        "runs a statement that it puts together, which could not be looked into", "Read it.",
    )  # fmt: skip


def _block_failing_writes(subject: Subject, one: LegacyFunction, named: set[str]) -> None:
    told = [trigger for trigger in one.at_core_writes if not any(f"trigger {trigger.name} on" in key for key in named)]
    if not one.fails_at_writes or not told:
        return
    subject.block_contract(
        "trigger-reads-legacy-column",
        f"trigger {listed([f'{trigger.name} on {trigger.table}' for trigger in told])} calls {one.identity}, which reads"
        f" {_places(one.fails_at_writes)}: every write that fires it would fail once the legacy columns are gone",
        "Rewrite the function on current_phase and phase_status, or drop the trigger.",
        [one.identity],
    )


def _block_failing_definitions(subject: Subject, one: LegacyFunction) -> None:
    uses = [use for use in one.uses if use.how in {"named", "row"}]
    if not uses or not one.called_by:
        return
    subject.block_contract(
        "definition-calls-legacy-reader",
        f"{listed(one.called_by)} calls {one.identity}, which reads {_places(uses)}: once the legacy columns are gone, every"
        " statement that needs it would fail",
        "Rewrite the function on current_phase and phase_status, or take it out there.",
        one.called_by,
    )


def _block_spreading_writes(subject: Subject, one: LegacyFunction) -> None:
    if not one.fails_with_more_columns or subject.state is not State.LEGACY:
        return
    triggers = listed([trigger.name for trigger in one.triggers if trigger.on_campaigns and trigger.enabled])
    subject.block(
        "trigger-spreads-row",
        f"trigger {triggers} on campaigns calls {one.identity}, which inserts the row as it is into another table"
        f" ({_places(one.fails_with_more_columns)}): as soon as campaigns has the phases columns, every write that"
        " fires it fails",
        "Name the columns in the function, or fill the other table by name: INSERT INTO history SELECT (jsonb_populate_record("
        "NULL::history, to_jsonb(OLD))).*.",
        [one.identity],
    )


def _warn(
    subject: Subject, found: list[LegacyFunction], kinds: tuple[str, ...], code: str, what: str, remedy: str
) -> None:
    for one in found:
        uses = [use for use in one.uses if use.how in kinds and use not in one.fails_at_writes]
        if not uses:
            continue
        fired = [f"{trigger.name} on {trigger.table}" for trigger in one.triggers if trigger.enabled]
        writes = f" (called by trigger {listed(fired)}: so would its writes)" if fired and "named" in kinds else ""
        subject.warn(
            code,
            f"{one.language} function {one.identity} {what}{writes}: {_places(uses)}",
            remedy,
            [f"{one.identity} line {use.line}: {use.statement}" for use in uses],
        )


def _places(uses: list[Use]) -> str:
    return listed(
        [f"line {use.line}: {', '.join(use.columns) or 'unknown'} in `{use.statement}`" for use in uses], SHOWN
    )


async def check_statements(subject: Subject) -> None:
    """Live statements that still use legacy columns, where pg_stat_statements is there; nothing is written down."""
    hours = subject.parameters.legacy_statement_hours
    report = await legacy_statements.look(subject.database, subject.schema, hours=hours, record=False)
    if report.statements:
        keys = [
            f"{one.new_calls:,} calls by {one.role}: {' '.join(one.query.split())[:STATEMENT_LENGTH]}"
            for one in report.statements
        ]
        subject.warn(
            "legacy-statements",
            f"{counted(len(keys), 'statement')} that use legacy columns were run lately: {listed(keys, SHOWN)}",
            "Move their applications over; the cut-over waits for that, or take --accept-legacy-statements.",
            keys,
        )


async def check_written_views(subject: Subject) -> None:
    """Views over campaigns that others may write through: their legacy columns become read-only when they are moved."""
    for row in await subject.fetch("list_written_views", subject.campaigns_oid):
        subject.warn(
            "view-is-written",
            f"{row['writers']} may write through view {row['identity']}; its legacy columns will be read-only",
            "Writers that set them there have to set current_phase and phase_status of campaigns instead.",
            [row["identity"]],
        )


async def check_row_functions(subject: Subject) -> None:
    """A body that PostgreSQL keeps parsed (BEGIN ATOMIC) holds the columns of today, too few for a row of tomorrow."""
    if subject.state is not State.LEGACY:
        return
    for row in await subject.fetch("find_row_functions", subject.campaigns_oid):
        tree = parsed(row["definition"])
        around = Surroundings(schema=subject.schema)
        if tree is None or any(mention.how == "whole row" for mention in mentions(tree, around)):
            continue
        subject.block(
            "function-returns-rows",
            f"function {row['identity']} returns rows of campaigns by the columns that it has today (an SQL-standard body):"
            " as soon as the phases columns are there, it fails when it is called",
            "Return the row itself (SELECT c FROM campaigns AS c), or give it a body in quotes (AS $$ SELECT * ... $$).",
            [row["identity"]],
        )


async def check_foreign_tables(subject: Subject) -> None:
    """Foreign tables that read a table campaigns: it may be this one, and only their server knows."""
    for row in await subject.fetch("find_foreign_campaigns"):
        subject.warn(
            "foreign-table",
            f"foreign table {row['name']} reads legacy columns of a table campaigns through server {row['server']}"
            f" ({row['address']}): whether it is this one cannot be seen from here",
            f"If it is, it fails once they are gone: ALTER FOREIGN TABLE {row['name']} OPTIONS (SET table_name"
            " 'campaigns_with_legacy_columns') when that view is there. Other databases may hold such tables, too.",
            [row["name"]],
        )


async def check_whole_rows(subject: Subject) -> None:
    """What PostgreSQL ties to campaigns as a whole and hands its rows on. Views of that kind are moved like other dependents."""
    around = Surroundings(schema=subject.schema)
    readers = [
        row["description"]
        for row in await subject.fetch("find_whole_row_readers", subject.campaigns_oid)
        if (tree := parsed(row["text"])) is not None
        and any(mention.how == "whole row" for mention in mentions(tree, around))
    ]
    if readers:
        subject.warn(
            "whole-row-reader",
            f"{listed(readers)}: tied to campaigns as a whole; whole rows (to_jsonb) would lose the legacy keys",
            "Read the definitions.",
            readers,
            len(readers),
        )
