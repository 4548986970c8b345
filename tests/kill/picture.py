"""A picture of a database that two histories must share: its schema and its data, times and run numbers left out."""

from __future__ import annotations

import re
from collections import Counter

from tasks.core.database import Connection, Database, connect
from tests.schema_dump import schema_dump

# What tells one run from another by design.
RUN_BOOKS = ("migration_runs", "migration_ledger", "migration_approvals")
SAVED = """position, kind, identity, definition, comment, statistics_target, options, owner, grants, drop_statement,
    create_statement"""
TIMES = re.compile(r"(campaigns as they were at )[^']*|(campaign_metrics_fold\()'\d+'")
OURS = re.compile(r"\b(campaigns_backup_000035|campaigns_pre_\w+_backup|migration_(runs|ledger|approvals))")
OUR_TIMES = ["changed_at"]
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive)"
TABLES = """
    SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), '') LIKE 'phases migration: %' FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> ALL ($1::text[])
    ORDER BY c.relname
"""
RECOUNT = """
    SELECT count(*) FROM campaigns AS c
    LEFT JOIN (
        SELECT domain_generation_campaign_id AS id, count(*) AS domains, count(*) FILTER (WHERE dns_status = 'ok') AS dns,
            count(*) FILTER (WHERE http_status = 'ok') AS http, count(*) FILTER (WHERE lead_score > 0) AS leads
        FROM generated_domains GROUP BY 1
    ) AS d ON d.id = c.id
    WHERE (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
        IS DISTINCT FROM (coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0))
"""


async def picture(database: Database) -> dict[str, str]:
    """The schema line by line and a checksum of each table's rows, both in a fixed order, by name."""
    found = {f"schema {number}": line for number, line in enumerate(_schema(database).splitlines())}
    return found | await _rows(database, ours=True)


async def picture_of_application(database: Database) -> dict[str, str]:
    """The same of the application's own objects, whatever the order of the columns: a way back puts some at the end."""
    entries = [entry for entry in re.split(r"\n--\n-- Name: ", _schema(database)) if not OURS.search(entry)]
    lines = Counter(line.rstrip(",") for entry in entries for line in entry.splitlines() if line.strip())
    return {f"schema, lines {line}": str(count) for line, count in lines.items()} | await _rows(database, ours=False)


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """What two pictures do not share, for people."""
    return [
        f"{name}: {one.get(name)} / {other.get(name)}" for name in {**one, **other} if one.get(name) != other.get(name)
    ]


def assert_same(wanted: dict[str, str], found: dict[str, str], what: str = "") -> None:
    """Two pictures share everything; else what they do not share is shown."""
    apart = differences(wanted, found)
    assert not apart, "\n".join([what, *apart[:30]])


async def _rows(database: Database, *, ours: bool) -> dict[str, str]:
    found = {}
    async with connect(database) as connection:
        for table, mark in await connection.fetch(TABLES, list(RUN_BOOKS)):
            if mark and not ours:
                continue
            columns = SAVED if table == "migration_saved_objects" else "*"
            # jsonb has an order of its own: it does not matter where in the table a column stands.
            found[f"rows of {table}"] = str(
                await connection.fetchval(
                    f"SELECT count(*) || ' ' || coalesce(md5(string_agg(r, ';' ORDER BY r COLLATE \"C\")), '')"
                    f" FROM (SELECT (to_jsonb(t) - $1::text[])::text AS r"
                    f" FROM (SELECT {columns} FROM public.{table}) AS t) AS rows",
                    OUR_TIMES if mark else [],
                )
            )
        found["invalid indexes"] = ", ".join(row[0] for row in await connection.fetch(INVALID))
    return found


def _schema(database: Database) -> str:
    """pg_dump --schema-only without what differs from run to run."""
    return TIMES.sub(lambda match: match[1] or match[2], schema_dump(database))


async def assert_sound(connection: Connection) -> None:
    """Metrics equal a recount, nothing is half folded, no index is invalid, and no scaffolding is left."""
    assert await connection.fetchval(RECOUNT) == 0
    assert await connection.fetchval("SELECT count(*) FROM campaign_metric_changes") == 0
    assert await connection.fetchval("SELECT count(*) FROM campaign_metrics_baseline") == 0
    assert await connection.fetch(INVALID) == []
    left = await connection.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND proname ~ '^migration_' AND proname !~ '^migration_map_'"
    )
    assert left == []
