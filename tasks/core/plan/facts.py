"""All that a plan is made of, read and tried out in one transaction that is taken back."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import asyncpg

from tasks.core import domain_status, golang_migrate, legacy_statements, sql_files
from tasks.core.collisions import Collision, find_collisions
from tasks.core.database import Connection, Database, connect
from tasks.core.dependents import Swap, compose_swap, in_groups
from tasks.core.duplicates import Duplicate, find_duplicates
from tasks.core.function_bodies import LegacyFunction, find_legacy_functions
from tasks.core.legacy_statements import StatementReport
from tasks.core.models import State
from tasks.core.plan.speed import Speed, measure
from tasks.core.rebuilds import find_grown
from tasks.core.rehearsal import CannotRehearse, Rehearsal, rehearse, taken_back
from tasks.core.settings import MigrateParameters
from tasks.core.state import read_state

log = logging.getLogger(__name__)
SETTINGS = {"lock_timeout": "2s", "statement_timeout": "300s", "quote_all_identifiers": "off"}


@dataclass(frozen=True)
class IndexBuild:
    """An index of 000036 that is to be built; over a partitioned table, with its parts as list_index_parts.sql has them."""

    name: str
    table_name: str
    definition: str
    purpose: str
    is_invalid: bool
    parts: list[asyncpg.Record]


@dataclass(frozen=True)
class Facts:
    """What is there, and what became of it when it was tried out.

    Attributes:
        done: the row of read_transform_progress.sql: what of the transform is in place; with `to_fill` campaigns left.
        rehearsal: None where the legacy columns are gone, or where nothing could be tried out.
        swaps: the statements for materialized views that are built anew together, by their group.
        materialized: the row of measure_materialized_view.sql for each of them, by its identity.
        version: golang-migrate's version, with `has_version_table` for an empty table.
        results: tables of validation results beside the domains, and how many domains they would change.
    """

    state: State
    parameters: MigrateParameters
    legacy: bool
    done: asyncpg.Record
    to_fill: int
    speed: Speed
    rehearsal: Rehearsal | None
    swaps: dict[str, Swap]
    materialized: dict[str, asyncpg.Record]
    indexes: list[IndexBuild]
    collisions: list[Collision]
    duplicates: list[Duplicate]
    has_version_table: bool
    version: tuple[int, bool] | None
    results: list[str]
    status_trigger: asyncpg.Record
    status_changes: int
    grown: list[asyncpg.Record]
    functions: list[LegacyFunction]
    statements: StatementReport
    ledger_is_there: bool

    @property
    def renamed(self) -> dict[str, str]:
        """Names of indexes that will have been given up by then."""
        return {one.name: one.new_name for one in self.collisions if one.kind == "index"}


async def gather(database: Database, parameters: MigrateParameters) -> Facts:
    """Read the catalog, try dependents and index builds out on stand-ins and samples, and take all of it back."""
    statements = await legacy_statements.look(
        database, parameters.schema_name, hours=parameters.legacy_statement_hours, record=False
    )
    async with (
        connect(database, schema=parameters.schema_name, purpose="plan", settings=SETTINGS) as connection,
        taken_back(connection),
    ):
        return await _gather(connection, parameters, statements)


async def _gather(connection: Connection, parameters: MigrateParameters, statements: StatementReport) -> Facts:
    schema = parameters.schema_name
    campaigns = await connection.fetchval("SELECT to_regclass(format('%I.campaigns', current_schema()))::oid::bigint")
    legacy = await connection.fetchval(sql_files.query("has_legacy_columns"))
    collisions = await find_collisions(connection)
    renamed = {one.name: one.new_name for one in collisions if one.kind == "index"}
    state = await read_state(connection)
    done = await connection.fetchrow(sql_files.query("read_transform_progress"))
    status_trigger = await connection.fetchrow(sql_files.query("needs_status_guard"))
    assert done is not None
    assert status_trigger is not None
    ledger_is_there = await connection.fetchval(
        "SELECT to_regclass(format('%I.migration_runs', current_schema())) IS NOT NULL"
    )
    to_fill = await connection.fetchval(sql_files.query("count_campaigns_to_fill")) if done["measured"] else -1
    duplicates = [] if parameters.keep_duplicates else await find_duplicates(connection, renamed)
    results = await connection.fetch(domain_status.results_query()) if legacy else []
    version_table = await golang_migrate.has_version_table(connection)
    version = await golang_migrate.read_version(connection)
    functions = await find_legacy_functions(connection, campaigns) if legacy else []
    indexes = await _indexes(connection, renamed)
    rehearsal = await _rehearse(connection, schema, campaigns, parameters) if legacy else None
    speed = await measure(
        connection, schema, campaigns, [_as_row(one) for one in indexes], has_stand_in=rehearsal is not None
    )
    status_changes = await _status_changes(connection, parameters) if results else 0
    return Facts(
        state=state, parameters=parameters, legacy=legacy, done=done, speed=speed,
        to_fill=speed.sizes.campaigns_rows if to_fill < 0 else to_fill, rehearsal=rehearsal,
        ledger_is_there=ledger_is_there, indexes=indexes, collisions=collisions,
        swaps=await _swaps(connection, rehearsal), materialized=await _materialized(connection, rehearsal),
        duplicates=duplicates, has_version_table=version_table, version=version,
        results=[row["table_name"] for row in results if row["problem"] is None], status_trigger=status_trigger,
        status_changes=status_changes, grown=await find_grown(connection, to_settle=status_changes),
        functions=functions, statements=statements,
    )  # fmt: skip


async def _rehearse(
    connection: Connection, schema: str, campaigns: int, parameters: MigrateParameters
) -> Rehearsal | None:
    try:
        async with connection.transaction():
            return await rehearse(connection, schema, campaigns, parameters)
    except CannotRehearse:
        return None  # preflight has said why


async def _indexes(connection: Connection, renamed: dict[str, str]) -> list[IndexBuild]:
    """The list of 000036 is read through the server itself."""
    async with taken_back(connection):
        await connection.execute(sql_files.blocks(sql_files.migration(36, "up"))["index_definitions"])
        purposes = dict(await connection.fetch("SELECT index_name, purpose FROM phases_index_definitions()"))
        return [
            IndexBuild(
                name=row["index_name"], table_name=row["table_name"], definition=row["definition"],
                purpose=purposes[row["index_name"]], is_invalid=row["present"] and row["index_name"] not in renamed,
                parts=list(await connection.fetch(sql_files.query("list_index_parts"), row["index_name"])),
            )
            for row in await connection.fetch(sql_files.query("list_missing_indexes"))
            if not row["valid"] or row["index_name"] in renamed
        ]  # fmt: skip


def _as_row(index: IndexBuild) -> dict[str, Any]:
    return {"index_name": index.name, "table_name": index.table_name, "definition": index.definition}


async def _swaps(connection: Connection, rehearsal: Rehearsal | None) -> dict[str, Swap]:
    """How the materialized views that are built anew are swapped, by their group."""
    groups = in_groups(rehearsal.dependents if rehearsal is not None else [])
    return {
        group[0].group: await compose_swap(connection, group)
        for group in groups
        if group[0].kind == "materialized view" and not any(one.problem for one in group)
    }


async def _materialized(connection: Connection, rehearsal: Rehearsal | None) -> dict[str, asyncpg.Record]:
    found = {}
    for one in rehearsal.dependents if rehearsal is not None else []:
        if one.kind == "materialized view":
            row = await connection.fetchrow(sql_files.query("measure_materialized_view"), one.oid)
            assert row is not None
            found[one.identity] = row
    return found


async def _status_changes(connection: Connection, parameters: MigrateParameters) -> int:
    """How many domains would be written, as the run itself will plan it."""
    blocks = sql_files.blocks(sql_files.script("settle-domain-status"))
    try:
        async with taken_back(connection):
            await connection.execute(blocks["domain_status_rows"] + blocks["domain_status"])
            await connection.execute("SELECT migration_status_plan($1)", parameters.domain_status)
            return int(await connection.fetchval(sql_files.query("count_planned_domains")))
    except asyncpg.PostgresError as error:
        log.info("what results would change could not be tried out: %s", error)
        return 0
