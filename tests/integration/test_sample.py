from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tasks.core import errors
from tasks.core.database import Connection, Database, connect
from tasks.core.sample import build_sample_database, campaign_sizes, create_database, drop_database, scratch_database

REFERENCE_TIME = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)
# Of seed 7, 60 campaigns, 6,000 domains and REFERENCE_TIME; the same on every server version.
CHECKSUMS = {
    "users": "b484a833d167c5529a8f29cec70f3c86",
    "campaigns": "60c4695e156f1e43b27ab3cad057eb48",
    "generated_domains": "4b6b0e536ab37c87773cbcc2bd13dd37",
    "campaign_jobs": "780f87b19da93bbd92c2fdf6b337cb13",
    "campaign_events": "f42e856edbbc22a771dad051429a6c42",
    "campaign_shares": "939adac933e6a60942dadf401024978c",
    "campaign_exports": "d28b7a77112c9b675e06cc5bf019aea5",
    "lead_items": "36169a8dcfab48ef08999418daf5a56f",
    "domain_tags": "f1b5b0198b9429a6e4bf95511f1416be",
    "keyword_extractions": "9bc56995c6006545b1bfb1d2aaceb9ce",
    "proxies_usage": "c12e89d5bf473f7133fa14982b175a8d",
}


async def _checksum(connection: Connection, table: str) -> str:
    await connection.execute("SET timezone = 'UTC'")
    text = await connection.fetchval(f"SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} AS t")
    return str(text)


async def test_the_same_seed_gives_the_same_rows_on_every_version(sample_factory: Any) -> None:
    database = await sample_factory(reference_time=REFERENCE_TIME)
    async with connect(database) as connection:
        found = {table: await _checksum(connection, table) for table in CHECKSUMS}
    assert found == CHECKSUMS


async def test_another_seed_gives_other_rows(sample_factory: Any) -> None:
    database = await sample_factory(reference_time=REFERENCE_TIME, seed=8)
    async with connect(database) as connection:
        assert await _checksum(connection, "generated_domains") != CHECKSUMS["generated_domains"]


async def test_every_pair_of_type_and_status_occurs(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        pairs = await connection.fetchval("SELECT count(DISTINCT (campaign_type, status)) FROM campaigns")
        users = await connection.fetchval(
            "SELECT count(*) FROM campaigns WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)"
        )
    assert pairs == 6 * 9
    assert users == 0


def test_the_sizes_follow_a_cube_law_roughly_and_add_up() -> None:
    sizes = campaign_sizes(2000, 2_000_000)
    assert sum(sizes) == 2_000_000
    assert len(sizes) == 2000
    assert 125_000 < sizes[0] < 129_000
    assert sum(campaign_sizes(60, 6_001)) == 6_001
    assert campaign_sizes(3, 0) == [0, 0, 0]


async def test_results_hang_together(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        seen = await connection.fetchrow(
            "SELECT count(*) FILTER (WHERE dns_status IS NULL) AS dns_missing,"
            " count(*) FILTER (WHERE http_status IS NULL) AS http_missing,"
            " count(*) FILTER (WHERE lead_score IS NULL) AS score_missing,"
            " count(*) FILTER (WHERE lead_score = 0) AS score_zero,"
            " count(*) FILTER (WHERE http_status = 'ok') AS http_ok,"
            " count(*) FILTER (WHERE http_status = 'ok' AND dns_status = 'ok') AS both_ok,"
            " count(DISTINCT dns_status) AS dns_kinds, count(DISTINCT http_status) AS http_kinds FROM generated_domains"
        )
        assert seen is not None
        assert min(seen["dns_missing"], seen["http_missing"], seen["score_missing"], seen["score_zero"]) > 0
        assert (seen["dns_kinds"], seen["http_kinds"]) == (4, 4)
        assert 0.9 < seen["both_ok"] / seen["http_ok"] < 1
        times = await connection.fetchrow(
            "SELECT count(*) AS campaigns, count(DISTINCT updated_at) AS stamps,"
            " count(*) FILTER (WHERE date_trunc('milliseconds', updated_at) <> updated_at) AS with_microseconds,"
            " max(updated_at) <= now() AS past FROM campaigns"
        )
        assert times is not None
        assert times["stamps"] == times["campaigns"]
        assert times["with_microseconds"] > 50
        assert times["past"]
        assert await connection.fetchval(
            "SELECT greatest(max(created_at), max(last_validated_at)) <= now() FROM generated_domains"
        )


async def test_the_legacy_schema_is_there_with_its_details(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:

        async def names(query: str) -> list[str]:
            return [row[0] for row in await connection.fetch(query)]

        indexes = await names("SELECT indexname::text FROM pg_indexes WHERE tablename = 'campaigns'")
        assert {"idx_campaigns_campaign_type", "idx_campaigns_status", "idx_campaigns_launch_sequence"} <= set(indexes)
        assert len(indexes) >= 19
        assert len(await names("SELECT indexname::text FROM pg_indexes WHERE tablename = 'generated_domains'")) >= 10
        references = await names(
            "SELECT DISTINCT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
            " AND confrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)"
        )
        assert len(references) == 9
        assert await names("SELECT conname::text FROM pg_constraint WHERE NOT convalidated") == []
        triggers = await names(
            "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'campaigns'::regclass ORDER BY 1"
        )
        assert triggers == ["check_campaigns_ranges", "notify_campaigns", "set_campaigns_updated_at"]
        assert await connection.fetchval(
            "SELECT attstattarget = 500 AND col_description(attrelid, attnum) LIKE '%scheduler''s%' FROM pg_attribute"
            " WHERE attrelid = 'campaigns'::regclass AND attname = 'status'"
        )
        assert await connection.fetchval(
            "SELECT has_column_privilege('campaign_reader', 'campaigns', 'status', 'UPDATE')"
        )
        assert not await connection.fetchval("SELECT has_table_privilege('campaign_reader', 'campaigns', 'DELETE')")


async def test_the_application_can_go_on_writing(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("SET ROLE campaign_app")
        before = await connection.fetchrow("SELECT id, updated_at FROM campaigns ORDER BY id LIMIT 1")
        assert before is not None
        await connection.execute("UPDATE campaigns SET status = 'paused' WHERE id = $1", before["id"])
        assert await connection.fetchval(
            "SELECT updated_at > $2 FROM campaigns WHERE id = $1", before["id"], before["updated_at"]
        )
        await connection.execute(
            "INSERT INTO campaign_events (campaign_id, event_type) VALUES ($1, 'commented')", before["id"]
        )
        await connection.execute("DELETE FROM campaigns WHERE id = $1", before["id"])
        left = await connection.fetchval(
            "SELECT count(*) FROM generated_domains WHERE domain_generation_campaign_id = $1", before["id"]
        )
        assert left == 0


async def test_the_production_profile_has_what_a_production_copy_has(
    sample_factory: Any, legacy_database: Database
) -> None:
    production = await sample_factory(profile="production")
    relations = (
        "SELECT count(*) FROM pg_class AS c WHERE c.oid > 16383 AND c.relnamespace::regnamespace::text !~ '^pg_'"
    )
    planted = [
        "active_campaigns_view", "idx_campaigns_workflow_primary", "campaign_api", "dns_validation_results",
        '"Reporting Data"."campaigns with their jobs"', '"Reporting Data"."places of campaigns"',
    ]  # fmt: skip
    there = "SELECT count(to_regclass(name)) FROM unnest($1::text[]) AS name"
    references = (
        "SELECT count(DISTINCT conrelid) FROM pg_constraint WHERE contype = 'f'"
        " AND confrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)"
    )
    async with connect(production) as connection:
        assert await connection.fetchval(there, planted) == len(planted)
        assert await connection.fetchval(relations) > 480
        assert await connection.fetchval(references) >= 9 + 12
    async with connect(legacy_database) as connection:
        assert await connection.fetchval(there, planted) == 0


async def test_partial_phases_columns_agree_with_the_legacy_ones(sample_factory: Any) -> None:
    database = await sample_factory(phases_columns="partial")
    async with connect(database) as connection:
        filled = await connection.fetch(
            "SELECT campaign_type, status, current_phase, phase_status FROM campaigns WHERE current_phase IS NOT NULL"
        )
        empty = await connection.fetchval("SELECT count(*) FROM campaigns WHERE current_phase IS NULL")
    assert filled
    assert empty > 0
    assert {row["current_phase"] for row in filled if row["campaign_type"] == "automated"} == {"generation"}
    assert {row["phase_status"] for row in filled if row["status"] == "archived"} <= {"completed", None}


async def test_a_sample_fits_into_another_schema_whose_name_needs_quotes(empty_database: Database) -> None:
    summary = await build_sample_database(empty_database, campaigns=3, domains=20, schema="Campaign data")
    assert summary.rows["generated_domains"] == 20
    async with connect(empty_database) as connection:
        assert await connection.fetchval("SELECT to_regclass('public.campaigns')") is None
        assert await connection.fetchval('SELECT count(*) FROM "Campaign data".campaigns') == 3


async def test_a_schema_that_has_campaigns_is_refused_and_left_alone(legacy_database: Database) -> None:
    with pytest.raises(errors.BadInput, match="has a campaigns table already"):
        await build_sample_database(legacy_database, campaigns=3, domains=3)
    async with connect(legacy_database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM campaigns") == 60


@pytest.mark.parametrize(("campaigns", "domains"), [(0, 1), (1, -1)])
async def test_sizes_that_make_no_sense_are_refused(campaigns: int, domains: int) -> None:
    nowhere = Database(host="127.0.0.1", port=1, database="none", user="nobody")
    with pytest.raises(errors.BadInput):
        await build_sample_database(nowhere, campaigns=campaigns, domains=domains)


async def test_progress_goes_from_nothing_to_all(empty_database: Database) -> None:
    shares: list[float] = []
    await build_sample_database(
        empty_database, campaigns=1, domains=0, progress=lambda _text, share: shares.append(share)
    )
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


async def test_a_scratch_database_is_a_copy_and_goes_away(server: Database, legacy_database: Database) -> None:
    copying = scratch_database(server, "Scratch 1", template=legacy_database.database)
    async with copying as scratch, connect(scratch) as connection:
        assert await connection.fetchval("SELECT count(*) FROM campaigns") == 60
    with pytest.raises(errors.DatabaseMissing):
        async with connect(scratch):
            pass


async def test_a_database_of_that_name_is_not_overwritten(server: Database) -> None:
    await create_database(server, "taken")
    try:
        with pytest.raises(errors.BadInput, match="exists already"):
            await create_database(server, "taken")
    finally:
        await drop_database(server, "taken")
