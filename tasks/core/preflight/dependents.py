"""What hangs on the legacy columns, and what code still names them."""

from __future__ import annotations

from tasks.core import catalog
from tasks.core.preflight.subject import Subject, counted, listed

WHY = {
    "pg_rewrite": "a rule that reads a legacy column",
    "pg_policy": "a row security policy over a legacy column",
    "pg_proc": "a function that is bound to a legacy column",
    "pg_trigger": "a trigger that names a legacy column",
    "pg_constraint": "a constraint that ties a legacy column to something else",
    "pg_statistic_ext": "extended statistics over a legacy column",
    "pg_publication_rel": "a publication that lists or filters by a legacy column",
}
IN_CLASS = "it reads a legacy column, directly or through another view"


async def check_dependents(subject: Subject) -> None:
    """The whole closure from pg_depend, less what 000035 records and drops by itself. Each one is a blocker."""
    for row in await subject.fetch("find_legacy_dependents", subject.campaigns_oid):
        why = WHY.get(row["catalog"], IN_CLASS)
        if row["description"].startswith(("column ", "default value ")):
            why = "computed from it, and DROP COLUMN would take it along"
        subject.block(
            "dependent",
            f"{row['description']} depends on campaign_type, status or launch_sequence: {why}",
            "Drop it or rewrite it on current_phase and phase_status; nothing is dropped with CASCADE.",
            [row["description"]],
        )


async def check_readers(subject: Subject) -> None:
    """Views over campaigns as a whole, and functions that name legacy columns: PostgreSQL records neither of these."""
    views = [row["description"] for row in await subject.fetch("find_whole_row_readers", subject.campaigns_oid)]
    if views:
        subject.warn(
            "whole-row-reader",
            f"{listed(views)}: tied to campaigns as a whole; whole rows (to_jsonb) would lose the legacy keys",
            "Read the definitions.",
            views,
            len(views),
        )
    ours = [*catalog.our_functions()]
    functions = [row["description"] for row in await subject.fetch("find_functions_naming_legacy_columns", ours)]
    if functions:
        subject.warn(
            "function-names-legacy-column",
            f"{counted(len(functions), 'function')} may name a legacy column: {listed(functions)}",
            "Rewrite them before the legacy columns go; they fail when they are called, not before.",
            functions,
            len(functions),
        )
