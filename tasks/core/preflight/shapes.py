"""What the columns of both models can hold: types that are kept or replaced, and values that a type or a check forbids."""

from __future__ import annotations

import asyncpg

from tasks.core import catalog, sql_files
from tasks.core.models import State
from tasks.core.preflight.subject import Subject, listed

# What a type, a domain or a check says to a value that it does not know: bad enum label, check violation, too long.
NOT_ADMITTED = (
    asyncpg.InvalidTextRepresentationError,
    asyncpg.CheckViolationError,
    asyncpg.StringDataRightTruncationError,
)


async def check_phases_columns(subject: Subject) -> None:
    """Phases columns that are there beforehand: what becomes of each, by its type and by what it allows.

    text, varchar, an enum and a domain over text stay as they are if they hold every phase and status; so does a numeric that
    holds 0.00 to 100.00. Figures of another type make room for a column of ours and come back on the way back.
    """
    if subject.state is State.CONTRACTED and not subject.has_column("phase_status"):
        subject.block("missing-column", "campaigns has no column phase_status (text)", "Restore it from the backup.")
    for row in await subject.connection.fetch(catalog.phases_columns_query()):
        column = f"campaigns.{row['name']}"
        if row["verdict"] == "refused":
            subject.block(
                "phases-column-type",
                f"{column} is {row['type']}: {row['problem']}",
                f"ALTER TABLE campaigns ALTER COLUMN {row['name']} TYPE {row['wanted']} USING"
                f" {row['name']}::text::{row['wanted']} in a quiet moment (it rewrites the table), or drop the column.",
                [column],
            )
        elif row["verdict"] == "replaced":
            subject.warn(
                "phases-column-replaced",
                f"{column} is {row['type']}, this migration needs {row['wanted']}: it makes room for a column of that type"
                " and comes back on the way back; its own indexes and checks go with it",
                f"Look at who relies on the type {row['type']}.",
                [column],
            )
        elif row["verdict"] == "kept" and row["name"] in catalog.PHASE_VALUES:
            await _check_values(subject, row["name"], row["type"])
    await _check_constraints(subject)


async def check_legacy_values(subject: Subject) -> None:
    """Legacy values that this installation does not allow, and which it gets in their place."""
    for column, phases, nearest in (
        ("campaign_type", "current_phase", catalog.TYPES_OF_PHASE),
        ("status", "phase_status", catalog.STATUSES_OF_PHASE_STATUS),
    ):
        if not subject.has_column(column):
            continue
        for value, candidates in nearest.items():
            settled = await _first_admitted(subject, column, candidates)
            if settled is None:
                subject.block(
                    "inverse-impossible",
                    f"campaigns.{column} allows none of {listed(candidates)}, which stand for {phases} {value!r} in the"
                    " legacy model",
                    "Widen its type or its check.",
                    [f"campaigns.{column}"],
                )
            elif settled != candidates[0]:
                subject.warn(
                    "inverse-nearest",
                    f"campaigns.{column} does not allow {candidates[0]!r}: campaigns that get {phases} {value!r} read"
                    f" {settled!r} in the legacy model",
                    f"Widen its type or its check if {candidates[0]!r} should stand there.",
                    [f"campaigns.{column}"],
                )


async def _first_admitted(subject: Subject, column: str, candidates: tuple[str, ...]) -> str | None:
    for candidate in candidates:
        if await _admits(subject, column, candidate, with_checks=True):
            return candidate
    return None


async def _admits(subject: Subject, column: str, value: str, *, with_checks: bool) -> bool:
    query = await subject.connection.fetchval(
        sql_files.query("compose_admission"), subject.campaigns_oid, column, value, with_checks
    )
    try:
        async with subject.connection.transaction():
            return bool(await subject.connection.fetchval(query))
    except NOT_ADMITTED:
        return False


async def _check_values(subject: Subject, name: str, type_name: str) -> None:
    values = catalog.PHASE_VALUES[name]
    refused = [value for value in values if not await _admits(subject, name, value, with_checks=False)]
    if not refused:
        return
    if subject.columns["campaigns"][name]["length"] is not None:
        subject.block(
            "phases-column-short",
            f"campaigns.{name} is {type_name}, too short for {listed([repr(value) for value in refused])}",
            f"ALTER TABLE campaigns ALTER COLUMN {name} TYPE text; nothing is rewritten.",
            [f"campaigns.{name}"],
        )
    else:
        subject.block(
            "phases-column-values",
            f"campaigns.{name} is {type_name}, which does not allow {listed([repr(value) for value in refused])}",
            f"Add them (ALTER TYPE {type_name} ADD VALUE, or another check of the domain); nothing is rewritten.",
            [f"campaigns.{name}"],
        )


async def _check_constraints(subject: Subject) -> None:
    for row in await subject.fetch("list_check_constraints", subject.campaigns_oid):
        if row["kind"] != "c" or list(row["columns"]) not in (["current_phase"], ["phase_status"]):
            continue
        allowed = catalog.allowed_values(row["definition"])
        refused = [value for value in catalog.PHASE_VALUES[row["columns"][0]] if value not in allowed]
        if allowed and refused:
            subject.block(
                "phases-check",
                f"constraint {row['name']} of campaigns does not allow {listed(refused)}: {row['definition']}",
                f"ALTER TABLE campaigns DROP CONSTRAINT {row['name']}: this migration brings one of its own.",
                [row["name"]],
            )
