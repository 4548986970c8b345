"""What is there in the end: metrics against a count of all rows, the writers' rows against their own books, and after a way
back the legacy values against those of before.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from tasks.core.database import Connection, Database, connect
from tests.load.models import WriterResult

WRONG_METRICS = """
SELECT count(*) AS campaigns, count(*) FILTER (
    WHERE (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
        IS DISTINCT FROM (coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0))
) AS wrong
FROM campaigns AS c
FULL JOIN (
    SELECT domain_generation_campaign_id AS id, count(*) AS domains, count(*) FILTER (WHERE dns_status = 'ok') AS dns,
        count(*) FILTER (WHERE http_status = 'ok') AS http, count(*) FILTER (WHERE lead_score > 0) AS leads
    FROM generated_domains GROUP BY 1
) AS d USING (id)
"""
LEFT_OVER = "SELECT (SELECT count(*) FROM campaign_metric_changes) + (SELECT count(*) FROM campaign_metrics_baseline)"
COMPARED = """
SELECT count(*) FILTER (WHERE d.id IS NULL) AS lost, count(*) FILTER (WHERE t.name IS NULL) AS extra,
    count(*) FILTER (WHERE d.id IS NOT NULL AND t.name IS NOT NULL AND
        (d.domain_generation_campaign_id, d.dns_status, d.http_status, d.lead_score)
        IS DISTINCT FROM (t.campaign_id, t.dns_status, t.http_status, t.lead_score)) AS different
FROM tally AS t
FULL JOIN (SELECT * FROM generated_domains WHERE starts_with(domain_name, 'load-')) AS d ON d.domain_name = t.name
"""

# Campaigns that nobody has updated since, by who knows them from before.
LEGACY_VALUES = "SELECT id, updated_at, campaign_type, status, launch_sequence FROM campaigns"


class Metrics(NamedTuple):
    """What a count says of the metrics of all campaigns."""

    campaigns: int
    wrong: int
    left_over: int


class Recount(BaseModel):
    """Figures that must be zero, and what they are about.

    Attributes:
        wrong_metrics: campaigns whose metrics differ from a count of their domains.
        left_over: differences that nobody folded, and campaigns still being counted.
        lost, extra, different: rows that the writers committed and that are gone, rows that they deleted and that are
            there, rows with other values; None where TRUNCATE emptied everybody's rows.
        untouched: campaigns that nobody has updated since before the migration; None without a way back.
        unlike: those of them whose legacy values are not what they were.
    """

    model_config = ConfigDict(frozen=True)

    campaigns: int
    wrong_metrics: int
    left_over: int
    rows: int
    lost: int | None
    extra: int | None
    different: int | None
    untouched: int | None = None
    unlike: int | None = None


async def count_metrics(connection: Connection) -> Metrics:
    """Compare the metrics with a count, in one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        counted = await connection.fetchrow(WRONG_METRICS)
        assert counted is not None
        return Metrics(counted["campaigns"], counted["wrong"], await connection.fetchval(LEFT_OVER))


async def compare_legacy_values(before: Database, after: Database) -> dict[str, int]:
    """Look whether rows that nobody has updated have their legacy values as before. A row's updated_at tells."""
    async with connect(before, purpose="recount") as first, connect(after, purpose="recount") as second:
        known = {tuple(row)[:2]: tuple(row)[2:] for row in await first.fetch(LEGACY_VALUES)}
        found = {tuple(row)[:2]: tuple(row)[2:] for row in await second.fetch(LEGACY_VALUES)}
    untouched = known.keys() & found.keys()
    return {"untouched": len(untouched), "unlike": sum(known[key] != found[key] for key in untouched)}


async def recount(
    database: Database,
    writers: list[WriterResult],
    *,
    truncated: bool,
    metrics: Metrics | None = None,
    original: Database | None = None,
) -> Recount:
    """Compare the database with itself and with what the writers know.

    Args:
        metrics: as they were counted before a way back.
        original: the database as it was before the migration, where it was taken back.
    """
    rows = [row for writer in writers for row in writer.rows]
    async with connect(database, purpose="recount") as connection:
        metrics = metrics or await count_metrics(connection)
        compared = None
        if not truncated:
            await connection.execute(
                "CREATE TEMPORARY TABLE tally"
                " (name text, campaign_id uuid, dns_status text, http_status text, lead_score numeric)"
            )
            await connection.copy_records_to_table("tally", records=rows)
            compared = await connection.fetchrow(COMPARED)
    return Recount(
        campaigns=metrics.campaigns,
        wrong_metrics=metrics.wrong,
        left_over=metrics.left_over,
        rows=len(rows),
        **(await compare_legacy_values(original, database) if original is not None else {}),
        **(dict(compared) if compared is not None else {"lost": None, "extra": None, "different": None}),
    )
