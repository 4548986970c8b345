"""The order of the checks, and the report that comes of them. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import asyncpg

from tasks.core import errors, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.models import Finding, PreflightReport, State
from tasks.core.pooler import refuse_transaction_pooling
from tasks.core.preflight import (
    activity,
    collisions,
    data,
    dependents,
    duplicates,
    legacy_code,
    server,
    shapes,
    statuses,
    surroundings,
    tables,
)
from tasks.core.preflight.subject import Subject, listed
from tasks.core.progress import Progress, unheard
from tasks.core.settings import MigrateParameters
from tasks.core.state import read_state
from tasks.core.translation import translated

LOCK_SECONDS, STATEMENT_SECONDS = 10, 300
SHOWN_IN_SUMMARY = 5
# What PostgreSQL prints must not depend on the role's own settings.
SETTINGS = {
    "lock_timeout": f"{LOCK_SECONDS}s",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": "0",
    "quote_all_identifiers": "off",
}

Check: TypeAlias = Callable[[Subject], Awaitable[object] | None]
# In this order. What finds that rows cannot be read comes before what reads them.
TABLES: tuple[Check, ...] = (
    server.check_rights,
    tables.check_tables,
    tables.check_columns,
    tables.check_row_type,
    server.read_version_table,
    shapes.check_phases_columns,
    shapes.check_legacy_values,
    tables.find_users,
)
READERS: tuple[Check, ...] = (
    dependents.check_dependents,
    legacy_code.check_functions,
    legacy_code.check_whole_rows,
    legacy_code.check_written_views,
    legacy_code.check_foreign_tables,
    legacy_code.check_row_functions,
    legacy_code.check_statements,
)
OBJECTS: tuple[Check, ...] = (
    collisions.check_names,
    duplicates.check_duplicates,
    activity.check_rules,
    activity.check_triggers,
    activity.check_event_triggers,
    activity.check_invalid_indexes,
    activity.check_transactions,
    activity.check_replication,
    activity.check_earlier_runs,
)
COUNTS: tuple[Check, ...] = (data.count_rows,)
CONTRACTED: tuple[Check, ...] = (data.check_contracted_values,)
LEGACY: tuple[Check, ...] = (data.take_census, data.check_unchecked_rules, statuses.check_results)
ROWS: tuple[Check, ...] = (data.check_names, data.check_users, data.check_orphans)
SURROUNDINGS: tuple[Check, ...] = (
    surroundings.check_clients,
    surroundings.check_backup_rights,
    surroundings.check_room,
)


async def run_preflight(
    database: Database, parameters: MigrateParameters, progress: Progress = unheard, *, for_apply: bool
) -> PreflightReport:
    """Look at everything that could stop or harm the migration, in one read-only transaction.

    Args:
        for_apply: whether this machine will apply: then what it lacks (pg_dump, room) is a blocker, else a warning.

    Raises:
        ServerUnreachable, LoginRefused, DatabaseMissing: there is no database to look at.
        TransactionPooling: a pooler in between shares sessions.
        LockNotGranted: somebody holds a table exclusively, so that it cannot even be read.
        StepFailed: the server refused one of the questions.
    """
    await refuse_transaction_pooling(database)
    async with connect(database, schema=parameters.schema_name, purpose="preflight", settings=SETTINGS) as connection:
        with translated("preflight", "Nothing was changed."):
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await inspect(connection, database, parameters, progress, for_apply=for_apply)
            except asyncpg.LockNotAvailableError as error:
                raise errors.LockNotGranted(
                    statement="Reading the campaign tables",
                    seconds=LOCK_SECONDS,
                    attempts=1,
                    lock_timeout_ms=LOCK_SECONDS * 1000,
                    blockers=await _who_holds(database, parameters),
                ) from error


async def inspect(
    connection: Connection,
    database: Database,
    parameters: MigrateParameters,
    progress: Progress = unheard,
    *,
    for_apply: bool,
) -> PreflightReport:
    """Look through a connection that is open, in whatever transaction it is in; it only reads."""
    session = await connection.fetchrow(sql_files.query("describe_session"), parameters.schema_name)
    assert session is not None
    subject = Subject(connection, database, parameters, session, for_apply)
    await _look(subject, progress)
    return _report(subject)


async def _look(subject: Subject, progress: Progress) -> None:
    server.check_server(subject)
    data.check_mappings(subject)
    major = subject.session["version_number"] // 10_000
    if not server.OLDEST <= major <= server.NEWEST or not await tables.find_tables(subject):
        return
    subject.state = await read_state(subject.connection)
    if subject.state is State.MIGRATED:
        await _look_at_migrated(subject)
        return
    if subject.state is State.RETURNING:
        activity.refuse_returning(subject)
        return
    checks = [*TABLES, *(READERS if subject.state in {State.LEGACY, State.DUAL} else ()), *OBJECTS]
    rows = [*COUNTS, *(CONTRACTED if subject.state is State.CONTRACTED else LEGACY), *ROWS]
    total = len(checks) + len(rows) + len(SURROUNDINGS)
    await _run(subject, checks, progress, 0, total)
    if subject.counts_rows:
        await _run(subject, rows, progress, len(checks), total)
    await _run(subject, SURROUNDINGS, progress, len(checks) + len(rows), total)


async def _run(subject: Subject, checks: Sequence[Check], progress: Progress, done: int, total: int) -> None:
    for number, check in enumerate(checks, start=done):
        progress("checks", number, total)
        waiting = check(subject)
        if waiting is not None:
            await waiting


async def _look_at_migrated(subject: Subject) -> None:
    """There is nothing left to do, so nothing is in the way."""
    await server.read_version_table(subject)
    await activity.check_invalid_indexes(subject)
    await tables.find_users(subject)
    if all(table["is_readable"] for table in subject.tables.values()):
        await data.count_rows(subject)
    subject.findings = [finding for finding in subject.findings if finding.severity == "warning"]


async def _who_holds(database: Database, parameters: MigrateParameters) -> str:
    async with connect(database, schema=parameters.schema_name, purpose="preflight") as connection:
        rows = await connection.fetch(sql_files.query("find_exclusive_lock_holders"), parameters.schema_name)
    return listed([row["description"] for row in rows]) or "a session that has just ended; try again"


def _report(subject: Subject) -> PreflightReport:
    order = {"blocker": 0, "warning": 1}
    return PreflightReport(
        state=subject.state,
        server_version=subject.session["version"],
        server_version_num=subject.session["version_number"],
        schema_name=subject.schema,
        users_table=subject.users_table,
        campaigns=subject.campaigns,
        domains=subject.domains,
        migration_version=subject.migration_version,
        migration_dirty=subject.migration_dirty,
        findings=sorted(subject.findings, key=lambda finding: order[finding.severity]),
        census=subject.census,
    )


def summary(report: PreflightReport) -> str:
    """The blockers as a list, one to a line: each with its rows or objects and what to do."""
    sentences = [in_a_line(finding) for finding in report.blockers[:SHOWN_IN_SUMMARY]]
    more = len(report.blockers) - SHOWN_IN_SUMMARY
    if more > 0:
        sentences.append(f"And {more} more, in the findings.")
    return "".join(f"\n- {sentence}" for sentence in sentences)


def page(report: PreflightReport) -> str:
    """All findings in markdown, the blockers first."""
    lines = [f"# {len(report.blockers)} blockers, {len(report.warnings)} warnings", ""]
    for heading, findings in (("What stops an apply", report.blockers), ("For you to weigh", report.warnings)):
        if findings:
            lines += [f"## {heading}", "", *(f"- **{one.code}**: {in_a_line(one)}" for one in findings), ""]
    return "\n".join(lines)


def in_a_line(finding: Finding) -> str:
    """What was found, where, and what to do."""
    named = [key for key in finding.keys if key not in finding.message]
    keys = f" [{listed(named)}]" if named else ""
    return f"{_sentence(finding.message)}{keys}. {finding.remedy}"


def _sentence(message: str) -> str:
    """The message with a capital letter, unless it begins with a name."""
    return message[:1].upper() + message[1:] if message.partition(" ")[0].isalpha() else message
