"""What is there in the end: metrics against a count of all rows, and the writers' rows against their own books."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tasks.core.database import Database, connect
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


class Recount(BaseModel):
    """Figures that must be zero, and what they are about.

    Attributes:
        wrong_metrics: campaigns whose metrics differ from a count of their domains.
        left_over: differences that nobody folded, and campaigns still being counted.
        lost, extra, different: rows that the writers committed and that are gone, rows that they deleted and that are
            there, rows with other values; None where TRUNCATE emptied everybody's rows.
    """

    model_config = ConfigDict(frozen=True)

    campaigns: int
    wrong_metrics: int
    left_over: int
    rows: int
    lost: int | None
    extra: int | None
    different: int | None


async def recount(database: Database, writers: list[WriterResult], *, truncated: bool) -> Recount:
    """Compare the database with itself and with what the writers know."""
    rows = [row for writer in writers for row in writer.rows]
    async with connect(database, purpose="recount") as connection:
        metrics = await connection.fetchrow(WRONG_METRICS)
        assert metrics is not None
        left_over = await connection.fetchval(LEFT_OVER)
        compared = None
        if not truncated:
            await connection.execute(
                "CREATE TEMPORARY TABLE tally"
                " (name text, campaign_id uuid, dns_status text, http_status text, lead_score numeric)"
            )
            await connection.copy_records_to_table("tally", records=rows)
            compared = await connection.fetchrow(COMPARED)
    return Recount(
        campaigns=metrics["campaigns"],
        wrong_metrics=metrics["wrong"],
        left_over=left_over,
        rows=len(rows),
        **(dict(compared) if compared is not None else {"lost": None, "extra": None, "different": None}),
    )
