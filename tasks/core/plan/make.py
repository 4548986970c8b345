"""Putting a plan together."""

from __future__ import annotations

from tasks.core.database import Database
from tasks.core.function_bodies import LegacyFunction
from tasks.core.models import Decision, Plan, State, WorkLeft
from tasks.core.plan import contracting, preparing
from tasks.core.plan.facts import Facts, gather
from tasks.core.plan.lines import Lines
from tasks.core.settings import MigrateParameters

MEBIBYTE = 2**20
WHY = {
    "named": "fails when it is called once the legacy columns are gone",
    "row": "fails when it is called once the legacy columns are gone",
    "position": "relies on the order of the columns of campaigns",
    "spread": "inserts whole rows into another table, and fails when it is called once campaigns has more columns",
    "whole row": "hands on whole rows, which lose the legacy keys",
    "word": "has the word in it; it could not be parsed",
    "not looked into": "puts a statement together that could not be looked into",
}


async def make_plan(database: Database, parameters: MigrateParameters) -> Plan:
    """The plan for this database as it is now, from its catalog, its sizes and how fast it is. Changes nothing.

    Raises:
        ServerUnreachable, LoginRefused, DatabaseMissing: there is no database to look at.
    """
    return write_plan(await gather(database, parameters))


def write_plan(facts: Facts) -> Plan:
    """The lines in the order in which a run goes through them, from where the database stands."""
    lines = Lines(facts)
    preparing.plan_start(lines)
    lines.step = "benchmark-inputs"
    lines.add(
        preparing.BENCHMARK, seconds=8 * facts.speed.ddl_seconds, note="our functions and tables, and what to ask about"
    )
    if facts.state not in {State.CONTRACTED, State.MIGRATED}:
        preparing.plan_benchmark(lines, "benchmark-before")
        preparing.plan_transform(lines)
        preparing.plan_questions(lines)
        if facts.parameters.stop_after == "transform":
            return Plan(statements=lines.written, decisions=_decisions(facts), work_left=_work_left(facts))
        preparing.plan_cut_over(lines)
    contracting.plan_core(lines)
    contracting.plan_proof(lines)
    return Plan(statements=lines.written, decisions=_decisions(facts), work_left=_work_left(facts))


def _decisions(facts: Facts) -> list[Decision]:
    parameters = facts.parameters
    found = [_on_backup(facts)]
    if facts.legacy:
        found += _on_applications(facts)
        found.append(
            Decision(
                name="contradictions",
                question="Which side wins where phases that are filled already contradict the legacy values?",
                standing=f"{parameters.prefer} wins" if parameters.prefer else "neither: the run refuses such rows",
                option="--prefer phases|legacy",
            )
        )
    if facts.results:
        found.append(
            Decision(
                name="domain statuses",
                question=f"Which side wins where {', '.join(facts.results)} contradict the domains' own status?",
                standing=f"{parameters.domain_status} wins; {facts.status_changes:,} domains would be written",
                option="--domain-status newest|domain|result",
            )
        )
    if facts.duplicates or parameters.keep_duplicates:
        freed = sum(one.bytes for one in facts.duplicates) / MEBIBYTE
        found.append(
            Decision(
                name="duplicates",
                question="Shall foreign keys and indexes that say the same as others go?",
                standing="they stay"
                if parameters.keep_duplicates
                else f"{len(facts.duplicates)} go, {freed:,.1f} MiB; the way back makes them again",
                option="--keep-duplicates",
            )
        )
    if not facts.has_version_table:
        found.append(
            Decision(
                name="version table",
                question="There is no golang-migrate table: shall its CLI be able to take over?",
                standing="it is made, at the predecessor's version"
                if parameters.create_version_table
                else "none is made",
                option="--create-version-table",
            )
        )
    found.append(
        Decision(
            name="failed gate",
            question="What shall happen if a check fails after something was changed?",
            standing="everything is taken back"
            if parameters.on_failed_gate == "rollback"
            else "the run stops and names the state",
            option="--on-failed-gate stop|rollback",
        )
    )
    return found


def _on_backup(facts: Facts) -> Decision:
    parameters = facts.parameters
    checked = "restored and compared" if parameters.restore_check else "read back, but not restored anywhere"
    size = facts.speed.sizes.database_bytes * facts.speed.dump_share / MEBIBYTE
    return Decision(
        name="backup",
        question="Is this where the backup shall go, and is reading it back enough?",
        standing=f"about {size:,.1f} MiB to {parameters.backup_directory or 'backup below the report directory'}, {checked}",
        option="--backup-directory, --restore-check",
    )


def _on_applications(facts: Facts) -> list[Decision]:
    parameters, statements = facts.parameters, facts.statements
    hours = f"the last {parameters.legacy_statement_hours:g} h"
    if not statements.available:
        question = "Has every application moved over? Without pg_stat_statements nobody can tell."
        standing = "the legacy columns go without a look at live statements"
    elif statements.statements:
        question = f"{len(statements.statements)} statements used legacy columns in {hours}: shall the columns go all the same?"
        standing = (
            "yes, they will fail" if parameters.accept_legacy_statements else "no: the run stops before the cut-over"
        )
    else:
        question = f"No statement used legacy columns in {hours}. Is that long enough?"
        standing = "the legacy columns go if it is still so at the cut-over"
    resting = (
        "rests with both models live" if parameters.stop_after == "transform" else "goes on to the cut-over at once"
    )
    return [
        Decision(
            name="applications", question=question, standing=standing,
            option="--accept-legacy-statements, --legacy-statement-hours",
        ),
        Decision(
            name="resting state",
            question="Does the application team need days with both models live to move over?",
            standing=f"the run {resting}",
            option="--stop-after transform",
        ),
    ]  # fmt: skip


def _work_left(facts: Facts) -> list[WorkLeft]:
    left = [work for one in facts.functions for work in _of_function(one)]
    return left + [
        WorkLeft(
            kind="statement",
            where=f"role {one.role}, {one.new_calls:,} calls",
            what=" ".join(one.query.split()),
            why="fails once the legacy columns are gone",
        )
        for one in facts.statements.statements
    ]


def _of_function(one: LegacyFunction) -> list[WorkLeft]:
    fired = [f"{trigger.name} on {trigger.table}" for trigger in one.triggers if trigger.enabled]
    by = f"; trigger {', '.join(fired)} calls it" if fired else ""
    return [
        WorkLeft(kind="function", where=f"{one.identity} line {use.line}", what=use.statement, why=WHY[use.how] + by)
        for use in one.uses
    ]
