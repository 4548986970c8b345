"""What the database remembers of earlier benchmarks, and what has become slower since."""

from __future__ import annotations

import uuid

from tasks.core.benchmark import measure, settle
from tasks.core.benchmark_history import past_runs
from tasks.core.benchmark_models import BenchmarkRun
from tasks.core.database import Database, connect
from tasks.core.trend import make_trend, summary

LOSE_THE_INDEXES = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT i.indexrelid::regclass AS name, k.conname FROM pg_index AS i
        LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype = 'u'
        WHERE i.indrelid = 'generated_domains'::regclass AND NOT i.indisprimary
    LOOP
        IF one.conname IS NULL THEN EXECUTE format('DROP INDEX %s', one.name);
        ELSE EXECUTE format('ALTER TABLE generated_domains DROP CONSTRAINT %I', one.conname);
        END IF;
    END LOOP;
END $$
"""


async def timed(database: Database) -> BenchmarkRun:
    await settle(database, "public")
    return await measure(database, "public", rounds=12, seed=1, benchmark_writes=False, run_id=str(uuid.uuid4()))


async def test_a_lost_index_is_a_regression_with_its_plan_change_and_an_undisturbed_run_is_none(
    migrated_database: Database,
) -> None:
    baseline = await timed(migrated_database)
    first = make_trend([], baseline)
    assert summary(first).startswith("It is the first run on this model")
    again = await timed(migrated_database)
    quiet = make_trend(await past_runs(migrated_database, "public", "phases_based", latest=1), again)
    assert quiet.regressions == []
    assert summary(quiet).startswith("No regression since ")

    async with connect(migrated_database) as connection:
        await connection.execute(LOSE_THE_INDEXES)
    now = await timed(migrated_database)
    past = await past_runs(migrated_database, "public", "phases_based", latest=12)
    assert [run.run_id for run in past] == [baseline.run_id, again.run_id, now.run_id]
    assert past[0].patterns == baseline.patterns
    assert past[0].indexes == baseline.indexes
    trend = make_trend(past[:-1], now)
    found = {one.name: one for one in trend.regressions}
    assert "bulk_domain_generation" in found
    one = found["bulk_domain_generation"]
    assert one.plan_change == "critical"
    assert "blocks" in one.work
    assert "Seq Scan on generated_domains" in one.plan_diff
    assert "an index scan has become a sequential scan" in summary(trend)
    assert len(trend.points) == 3


async def test_the_baseline_is_the_first_run_however_many_came_later(migrated_database: Database) -> None:
    runs = [await timed(migrated_database) for _ in range(3)]
    past = await past_runs(migrated_database, "public", "phases_based", latest=2)
    assert [run.run_id for run in past] == [run.run_id for run in runs]
    assert [run.run_id for run in await past_runs(migrated_database, "public", "phases_based", latest=1)] == [
        runs[0].run_id,
        runs[-1].run_id,
    ][1:]


async def test_a_database_that_was_never_measured_has_no_past(migrated_database: Database) -> None:
    assert await past_runs(migrated_database, "public", "dual", latest=5) == []
