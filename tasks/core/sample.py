"""The sample legacy database: for the demo and the tests, the same for the same seed on every server version."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import asyncpg
from pydantic import BaseModel, ConfigDict

from tasks.core import errors, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.settings import SampleProfile

SAMPLE_SQL = sql_files.SQL_DIRECTORY / "sample"
USERS = 200
INDEX_BUILDERS = 2
# The largest of 2,000 campaigns gets 6.35% of all domains: 127,000 of 2 million, as in production.
SKEW = 2.757
# Speed, for a database that is thrown away if its making is interrupted.
BUILD_SETTINGS = {
    "synchronous_commit": "off",
    "work_mem": "256MB",
    "maintenance_work_mem": "256MB",
    "max_parallel_maintenance_workers": "0",
    "jit": "off",
    "timezone": "UTC",
}

# What the production profile adds to the plain one, in this order: files sql/sample/plant_<name>.sql.
PRODUCTION = ("validation_results", "readers", "surroundings", "dependents")

PhasesColumns = Literal["absent", "partial"]
Progress = Callable[[str, float], None]


class SampleSummary(BaseModel):
    """What was built.

    Attributes:
        reference_time: no date lies behind it but estimates; "the last 7 days" of the data end here.
        largest_campaign: its number of domains.
        rows: rows of each table, by its name.
        seconds: how long it took.
    """

    model_config = ConfigDict(frozen=True)

    schema_name: str
    campaigns: int
    domains: int
    users: int
    seed: int
    reference_time: dt.datetime
    phases_columns: PhasesColumns
    profile: SampleProfile
    largest_campaign: int
    rows: dict[str, int]
    seconds: float


async def build_sample_database(
    database: Database,
    *,
    campaigns: int = 2000,
    domains: int = 200_000,
    seed: int = 7,
    profile: SampleProfile = "plain",
    phases_columns: PhasesColumns = "absent",
    reference_time: dt.datetime | None = None,
    schema: str = "public",
    progress: Progress | None = None,
) -> SampleSummary:
    """Build the legacy tables, their rows and everything around them in an existing database.

    It also makes the roles `campaign_app` and `campaign_reader` (NOLOGIN), which belong to the whole server.

    Args:
        database: reached as a superuser, or as an owner of the database who may create roles.
        campaigns: how many; with 54 or more every pair of type and status occurs.
        domains: how many in all campaigns together, by a cube law, roughly.
        seed: the same seed, sizes and reference time give the same rows.
        profile: "production" adds what a production copy has around the tables: readers of the legacy columns of every kind that
            can be kept, names that collide with ours, duplicates, results beside the domains' statuses, over 480 relations.
        phases_columns: "partial" adds current_phase, phase_status and progress, filled for a part of the campaigns.
        reference_time: when "now" was for the data; None means the start of today in UTC.
        schema: made if it is lacking.
        progress: called with what is being done and the share that is done, 0 to 1.

    Raises:
        BadInput: the sizes make no sense, or the schema has a campaigns table already.
    """
    _check_sizes(campaigns, domains)
    started = time.monotonic()
    moment = reference_time or dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    report = progress or (lambda _text, _share: None)
    sizes = campaign_sizes(campaigns, domains)

    async with connect(database, schema=schema, purpose="sample", settings=BUILD_SETTINGS) as connection:
        await _require_room(connection, schema)
        report("creating tables", 0.0)
        await connection.execute(_sample_sql("create_tables"))
        await connection.execute(_sample_sql("prepare_plan"))
        await connection.execute(_sample_sql("fill_plan"), seed, moment, sizes)
        await connection.execute(_sample_sql("fill_users"), seed, moment, USERS)
        await connection.execute(_sample_sql("fill_campaigns"), seed, moment, USERS)
        if phases_columns == "partial":
            await connection.execute(_sample_sql("add_phases_columns"))
            await connection.execute(_sample_sql("fill_phases_columns"), seed)
        report(f"writing {domains:,} domains", 0.02)
        await connection.execute(_sample_sql("fill_domains"), seed)
        report("writing the tables around them", 0.35)
        await connection.execute(_sample_sql("fill_references"), seed, moment, USERS)
        await _build_indexes(database, schema, lambda share: report("building indexes", 0.40 + 0.45 * share))
        report("adding constraints, triggers and rights", 0.86)
        for part in ("add_constraints", "add_triggers", "add_details"):
            await connection.execute(_sample_sql(part))
        if profile == "production":
            for part in PRODUCTION:
                await connection.execute(_sample_sql(f"plant_{part}"))
        report("gathering statistics", 0.93)
        await connection.execute("VACUUM (ANALYZE)")
        counted = await connection.fetch(sql_files.read(SAMPLE_SQL / "count_rows.sql"))
        rows = {row["table_name"]: row["row_count"] for row in counted}
    report("sample database built", 1.0)
    return SampleSummary(
        schema_name=schema,
        campaigns=campaigns,
        domains=domains,
        users=USERS,
        seed=seed,
        reference_time=moment,
        phases_columns=phases_columns,
        profile=profile,
        largest_campaign=max(sizes),
        rows=rows,
        seconds=time.monotonic() - started,
    )


def campaign_sizes(campaigns: int, domains: int) -> list[int]:
    """Domains of each campaign, the largest first; their sum is `domains`."""
    shares = [(rank / campaigns) ** (1 / SKEW) for rank in range(campaigns + 1)]
    edges = [round(share * domains) for share in shares]
    return sorted((upper - lower for lower, upper in itertools.pairwise(edges)), reverse=True)


@asynccontextmanager
async def scratch_database(server: Database, name: str, *, template: str | None = None) -> AsyncIterator[Database]:
    """A database that is dropped at the end, whoever is still connected to it.

    Args:
        server: reached as a role that may create databases.
        name: of the new one; an old one of that name is dropped.
        template: the database to copy, to which nobody may be connected; None means the server's default.
    """
    await drop_database(server, name)
    await create_database(server, name, template=template)
    try:
        yield server.model_copy(update={"database": name})
    finally:
        await drop_database(server, name)


async def create_database(server: Database, name: str, *, template: str | None = None) -> Database:
    """Create a database, as a copy of `template` or of the server's default.

    Raises:
        BadInput: there is one of that name.
    """
    async with connect(server, purpose="sample") as connection:
        statement = await connection.fetchval(
            "SELECT format('CREATE DATABASE %I', $1::text)"
            " || CASE WHEN $2::text IS NULL THEN '' ELSE format(' TEMPLATE %I', $2::text) END",
            name,
            template,
        )
        try:
            await connection.execute(statement)
        except asyncpg.DuplicateDatabaseError as error:
            raise errors.BadInput(
                name="the database", value=name, reason="it exists already", remedy="Name another one, or drop it."
            ) from error
    return server.model_copy(update={"database": name})


async def drop_database(server: Database, name: str) -> None:
    """Drop a database if it is there, ending who is connected to it."""
    async with connect(server, purpose="sample") as connection:
        await connection.execute(
            await connection.fetchval("SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text)", name)
        )


def _sample_sql(name: str) -> str:
    return sql_files.read(SAMPLE_SQL / f"{name}.sql")


def _check_sizes(campaigns: int, domains: int) -> None:
    if campaigns < 1:
        raise errors.BadInput(name="campaigns", value=campaigns, reason="it is below 1", remedy="Give at least 1.")
    if domains < 0:
        raise errors.BadInput(name="domains", value=domains, reason="it is below 0", remedy="Give 0 or more.")


async def _require_room(connection: Connection, schema: str) -> None:
    await connection.execute(
        await connection.fetchval("SELECT format('CREATE SCHEMA IF NOT EXISTS %I', $1::text)", schema)
    )
    taken = await connection.fetchval("SELECT to_regclass(format('%I.campaigns', $1::text))::text", schema)
    if taken is not None:
        raise errors.BadInput(
            name="the database for the sample",
            value=schema,
            reason="this schema has a campaigns table already",
            remedy="Give an empty database.",
        )


async def _build_indexes(database: Database, schema: str, report: Callable[[float], None]) -> None:
    """Build the indexes of add_indexes.sql, two at a time, in the order of the file."""
    waiting = sql_files.statements(_sample_sql("add_indexes"))
    total = len(waiting)
    waiting.reverse()

    async def build(connection: Connection) -> None:
        while waiting:
            await connection.execute(waiting.pop())
            report(1 - len(waiting) / total)

    async with AsyncExitStack() as stack:
        builders: Sequence[Connection] = [
            await stack.enter_async_context(
                connect(database, schema=schema, purpose="sample indexes", settings=BUILD_SETTINGS)
            )
            for _ in range(INDEX_BUILDERS)
        ]
        async with asyncio.TaskGroup() as group:
            for builder in builders:
                group.create_task(build(builder))
