"""Two states timed in turn: a control shows nothing, what is planted is found, and no copy outlives its run."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tasks.core import benchmark_side
from tasks.core import clone as clone_module
from tasks.core.backup import make_backup
from tasks.core.benchmark import Ground, PairedRuns, measure, measure_paired, settle
from tasks.core.benchmark_models import Clone
from tasks.core.benchmark_patterns import Pattern, list_patterns
from tasks.core.clone import clone_name, cloner, lock_key
from tasks.core.comparison import compare
from tasks.core.database import Connection, Database, connect
from tasks.core.sample import create_database, drop_database

ROUNDS = 12
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


@asynccontextmanager
async def two_copies(database: Database) -> AsyncIterator[tuple[Ground, Ground]]:
    async with cloner(database) as making:
        grounds = []
        for _ in range(2):
            clone = await making.by_template()
            assert isinstance(clone, Clone), clone
            place = making.as_database(clone)
            await settle(place, "public")
            grounds.append(Ground(place, clone=clone, writes=place, writes_clone=clone))
        yield grounds[0], grounds[1]


async def in_turn(before: Ground, after: Ground) -> PairedRuns:
    return await measure_paired(before, after, "public", rounds=ROUNDS, seed=1, run_id=str(uuid.uuid4()), keep_in=None)


async def execute(database: Database, *statements: str) -> None:
    async with connect(database) as connection:
        for statement in statements:
            await connection.execute(statement)


async def databases(database: Database) -> list[str]:
    async with connect(database) as connection:
        rows = await connection.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, $1) AND datname <> $1 ORDER BY 1",
            database.database,
        )
    return [row["datname"] for row in rows]


async def test_a_control_run_of_copy_against_copy_reports_no_difference(legacy_database: Database) -> None:
    async with two_copies(legacy_database) as (before, after):
        pair = await in_turn(before, after)
    assert pair.differing == {}
    assert pair.before.paired
    assert pair.after.paired
    comparison = compare(pair.before, pair.after, target=40)
    assert comparison.paired
    assert [one.name for one in comparison.patterns if one.change in {"faster", "slower"}] == []
    assert {one.plan_change for one in comparison.patterns} == {"same"}
    for one in comparison.patterns:
        if one.change is not None:
            assert one.before_work is not None
            assert one.before_work.rows_visited > 0
            assert one.before_work == one.after_work, one.name
    assert await databases(legacy_database) == []


async def test_a_planted_regression_is_found_with_its_plan_change(legacy_database: Database) -> None:
    async with two_copies(legacy_database) as (before, after):
        await execute(after.reads, LOSE_THE_INDEXES)
        pair = await in_turn(before, after)
    found = {one.name: one for one in compare(pair.before, pair.after, target=40).patterns}
    lost = found["campaign_status_aggregation"]
    assert (lost.change, lost.plan_change) == ("slower", "critical"), lost
    assert "+ " in lost.plan_diff
    assert "Seq Scan on generated_domains" in lost.plan_diff
    assert lost.before_blocks is not None
    assert lost.after_blocks is not None
    assert lost.after_blocks > 5 * lost.before_blocks
    assert lost.status == "not_met"
    assert pair.differing == {}


async def test_a_planted_win_of_twice_the_speed_is_found(
    legacy_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = "campaign_status_aggregation"

    async def with_one_asked_twice_before(connection: Connection) -> list[Pattern]:
        patterns = await list_patterns(connection)
        plant = _twice if await connection.fetchval("SELECT current_database()") == slow else _once
        return [
            replace(one, legacy_query=plant(one.legacy_query)) if one.test_name == planted else one for one in patterns
        ]

    async with two_copies(legacy_database) as (before, after):
        slow = before.reads.database
        monkeypatch.setattr(benchmark_side, "list_patterns", with_one_asked_twice_before)
        pair = await in_turn(before, after)
    found = {one.name: one for one in compare(pair.before, pair.after, target=20).patterns}
    win = found.pop(planted)
    assert win.change == "faster"
    assert win.before_work is not None
    assert win.after_work is not None
    assert win.before_work.rows_visited == 2 * win.after_work.rows_visited
    assert win.before_work.blocks == 2 * win.after_work.blocks
    assert win.improvement_percent == pytest.approx(50, abs=15)
    assert win.status == "met"
    assert [one.name for one in found.values() if one.change in {"faster", "slower"}] == []


def _twice(query: str) -> str:
    """Twice the work, and 30 ms that the clock cannot miss on a busy machine."""
    return (
        f"{_slowed(query)}, again AS MATERIALIZED ({query}), waited AS MATERIALIZED (SELECT pg_sleep(0.03)) SELECT once.*"
        " FROM once WHERE (SELECT count(*) FROM slow) + (SELECT count(*) FROM again) + (SELECT count(*) FROM waited) >= 0"
    )


def _slowed(query: str) -> str:
    return f"WITH slow AS MATERIALIZED (SELECT pg_sleep(0.03)), once AS MATERIALIZED ({query})"


def _once(query: str) -> str:
    return f"{_slowed(query)} SELECT once.* FROM once WHERE (SELECT count(*) FROM slow) >= 0"


async def test_answers_that_differ_are_named_by_their_first_row_and_their_times_do_not_count(
    legacy_database: Database,
) -> None:
    async with two_copies(legacy_database) as (before, after):
        await execute(after.reads, "UPDATE campaigns SET name = 'another'")
        pair = await in_turn(before, after)
    assert "large_result_set" in pair.differing
    assert "another" in pair.differing["large_result_set"]
    assert "domain_fk_index" not in pair.differing
    comparison = compare(pair.before, pair.after, target=40, differing=pair.differing)
    wrong = next(one for one in comparison.patterns if one.name == "large_result_set")
    assert (wrong.status, wrong.improvement_percent) == ("failed", None)
    assert "row 1 of" in wrong.note


async def test_a_copy_by_template_needs_that_nobody_is_connected_and_says_so(legacy_database: Database) -> None:
    async with connect(legacy_database), cloner(legacy_database) as making:
        assert await making.by_template() == "1 other sessions are connected"
        clone = await making.by_restoring("1 other sessions are connected")
        assert clone.method == "dump"
        assert clone.sentence.startswith(
            "a fresh dump, restored: without bloat, which flatters it (not by TEMPLATE: 1 other"
        )
        async with connect(making.as_database(clone)) as copy:
            assert await copy.fetchval("SELECT count(*) FROM generated_domains") == 6_000
        assert await databases(legacy_database) == [clone.database]
    assert await databases(legacy_database) == []


async def test_a_second_copy_is_of_the_same_state_though_the_original_goes_on(legacy_database: Database) -> None:
    async with cloner(legacy_database) as making:
        first = await making.by_restoring("as a test")
        await execute(legacy_database, "DELETE FROM generated_domains WHERE offset_index = 0")
        second = await making.again(first)
        assert (second.method, second.why) == (first.method, first.why)
        for clone in (first, second):
            async with connect(making.as_database(clone)) as copy:
                assert await copy.fetchval("SELECT count(*) FROM generated_domains") == 6_000
    assert await databases(legacy_database) == []


async def test_a_role_that_may_not_copy_is_told_why(legacy_database: Database) -> None:
    await execute(legacy_database, "CREATE ROLE copier LOGIN PASSWORD 'copier'")
    try:
        role = legacy_database.model_copy(update={"user": "copier", "password": "copier"})
        role = Database.model_validate(role.model_dump())
        async with cloner(role) as making:
            assert await making.by_template() == "this role may not create databases"
    finally:
        await execute(legacy_database, "DROP ROLE copier")


@pytest.mark.parametrize("form", ["directory", "plain"])
async def test_a_copy_is_restored_from_the_backup_of_the_run(
    legacy_database: Database, tmp_path: Any, form: Any
) -> None:
    backup = await make_backup(legacy_database, "public", tmp_path / "backup", format=form)
    async with cloner(legacy_database) as making:
        clone = await making.by_restoring("as a test", backup)
        assert clone.method == "backup"
        async with connect(making.as_database(clone)) as copy:
            assert await copy.fetchval("SELECT count(*) FROM campaigns") == 60


async def test_the_next_run_drops_what_a_killed_one_has_left_and_nothing_else(
    legacy_database: Database, server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone_module, "ORPHAN_SECONDS", 0.3)
    left, wanted = clone_name(legacy_database.database), clone_name(legacy_database.database)
    stranger = f"{legacy_database.database}_benchmark_0123456789abcdef"
    for name in (left, wanted, stranger):
        await create_database(server, name)
    try:
        async with connect(legacy_database) as other_run:
            await other_run.execute("SELECT pg_advisory_lock($1)", lock_key(wanted))
            async with cloner(legacy_database):
                assert await databases(legacy_database) == sorted([wanted, stranger])
        async with cloner(legacy_database):
            assert await databases(legacy_database) == [stranger]
    finally:
        for name in (left, wanted, stranger):
            await drop_database(server, name)


async def test_a_failure_drops_the_copies_too(legacy_database: Database) -> None:
    async def fail() -> None:
        async with two_copies(legacy_database):
            assert len(await databases(legacy_database)) == 2
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        await fail()
    assert await databases(legacy_database) == []


async def test_patterns_that_write_are_timed_on_a_copy(legacy_database: Database) -> None:
    async with cloner(legacy_database) as making:
        clone = await making.by_restoring("as a test")
        place = making.as_database(clone)
        await settle(place, "public")
        async with connect(legacy_database) as watching:
            updates = "SELECT coalesce(sum(n_tup_upd), 0) FROM pg_stat_user_tables WHERE relname = 'generated_domains'"
            before = await watching.fetchval(updates)
            run = await measure(
                legacy_database, "public", rounds=5, seed=1, benchmark_writes=False, run_id=str(uuid.uuid4()),
                ground=Ground(legacy_database, writes=place, writes_clone=clone),
            )  # fmt: skip
            assert await watching.fetchval(updates) == before
    writing = next(one for one in run.patterns if one.writes)
    assert len(writing.times_ms) == 5
    assert writing.work is not None
    assert writing.work.wal_records > writing.rows
    assert run.writes_clone == clone
    assert all(one.skipped is None for one in run.patterns)
