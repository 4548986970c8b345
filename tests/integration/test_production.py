"""A database with as much around its tables as a production copy: every reader answers as before, and all of it comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.chain import Chain, difference, differences

SampleFactory = Callable[..., Any]
SMALL = {"campaigns": 60, "domains": 1_200}
# Every view and materialized view of the application that holds rows, and what roles may see of tables with policies.
READERS = """
SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND c.relispopulated AND n.nspname !~ '^pg_|^information_schema$|^archive$' AND c.relname !~ '^pg_'
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %' AND c.relname !~ '^migration_'
ORDER BY 1
"""
AS_ROLE = "SELECT count(*) FROM (SELECT set_config('role', '{role}', false)) AS r CROSS JOIN LATERAL (SELECT FROM {table}) AS t"
WITH_POLICIES = [("campaign_reader", "campaign_jobs"), ("campaign_app", "campaign_shares")]
STATUS = 'SELECT "campaignStatus" FROM campaign_api ORDER BY id'


async def answers(chain: Chain) -> dict[str, list[Any]]:
    found = {
        name: await chain.values(f"SELECT v::text FROM {name} AS v ORDER BY 1") for name in await chain.values(READERS)
    }
    for role, table in WITH_POLICIES:
        found[f"{table} of {role}"] = await chain.values(AS_ROLE.format(role=role, table=table))
    return found


@pytest.fixture
async def chain(sample_factory: SampleFactory) -> Chain:
    return Chain(await sample_factory(**SMALL, profile="production"))


async def test_everything_around_the_tables_answers_as_before_and_comes_back_as_it_was(chain: Chain) -> None:
    await chain.execute("REFRESH MATERIALIZED VIEW campaign_statistics")
    await chain.execute("REFRESH MATERIALIZED VIEW campaign_statistics_by_type")
    before, rows, schema = await answers(chain), await chain.checksums(), chain.dump()
    assert len(before) > 12
    report = await chain.preflight()
    assert not report.blockers, report.blockers
    await chain.up()
    assert await chain.judge() == []
    assert await answers(chain) == before
    # What the server itself keeps among a column's options, from 15.20 on, is nobody's setting.
    assert await chain.values("SELECT identity FROM migration_saved_objects WHERE create_statement ~ 'pg_attver'") == []
    await chain.down()
    assert await answers(chain) == before
    assert differences(await chain.checksums(), rows) == {}
    assert difference(chain.dump(), schema) == []


async def test_what_was_switched_off_stays_off_and_what_waits_for_the_commit_still_does(chain: Chain) -> None:
    states = (
        "SELECT concat_ws(' ', tgname, tgenabled, tgdeferrable, tginitdeferred, obj_description(oid, 'pg_trigger'))"
        " FROM pg_trigger WHERE tgname ~ '^status_' AND tgrelid = 'campaigns'::regclass ORDER BY 1"
    )
    before = await chain.values(states)
    await chain.up()
    assert await chain.values(states) == before
    async with chain.look() as connection:
        heard: list[str] = []
        await connection.add_listener("campaign_status", lambda *message: heard.append(message[-1]))
        one = await connection.fetchval("SELECT id FROM campaigns WHERE phase_status = 'paused' LIMIT 1")
        async with connection.transaction():
            await connection.execute("UPDATE campaigns SET phase_status = 'completed' WHERE id = $1", one)
        await connection.fetchval("SELECT 1")
        # Of status_changed and of status_settled; the same words in one transaction are told once.
        assert heard == [str(one)]
