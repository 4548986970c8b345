"""The way back gives untouched rows their own values, changed rows the inverse mapping, and keeps the work done since."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tasks.core import core_migrations, errors, rollback, run, sql_files, state, transform
from tasks.core.database import Connection, Database, connect
from tasks.core.models import State
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters, RollbackParameters

SampleFactory = Callable[..., Any]
LEGACY_VALUES = "SELECT id, campaign_type, status, launch_sequence, updated_at FROM campaigns ORDER BY id"


async def migrate(database: Database, **options: Any) -> None:
    parameters = MigrateParameters(mode="apply", **options)
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "test"):
        await transform.transform(database, parameters, run_id, unheard)
        await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)


async def go_back(database: Database, **options: Any) -> rollback.RollbackReport:
    parameters = RollbackParameters(mode="apply", confirm=database.database, **options)
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "test"):
        return await rollback.roll_back(database, parameters, run_id, unheard)


async def values(connection: Connection) -> dict[Any, tuple[Any, ...]]:
    return {row["id"]: tuple(row)[1:] for row in await connection.fetch(LEGACY_VALUES)}


async def test_untouched_rows_come_back_as_they_were_and_changed_ones_by_the_inverse_mapping(
    legacy_database: Database,
) -> None:
    async with connect(legacy_database) as connection:
        before = await values(connection)
        await migrate(legacy_database)
        assert await state.read_state(connection) is State.MIGRATED
        queued = next(key for key, value in before.items() if value[1] == "queued")
        comprehensive = next(
            key for key, value in before.items() if value[0] == "comprehensive" and value[1] == "running"
        )
        cancelled = next(key for key, value in before.items() if value[1] == "cancelled" and value[0] == "analysis")
        await connection.execute("UPDATE campaigns SET phase_status = 'in_progress' WHERE id = $1", queued)
        await connection.execute("UPDATE campaigns SET current_phase = 'analysis' WHERE id = $1", comprehensive)
        await connection.execute("UPDATE campaigns SET current_phase = 'setup' WHERE id = $1", cancelled)
        created = await connection.fetchval(
            "INSERT INTO campaigns (name, user_id, current_phase, phase_status)"
            " SELECT 'new', user_id, 'dns_validation', 'paused' FROM campaigns LIMIT 1 RETURNING id"
        )
        counted = await go_back(legacy_database)
        assert (counted.unchanged, counted.changed, counted.created) == (len(before) - 2, 2, 1)
        assert counted.created_keys == [str(created)]
        after = await values(connection)
    assert after.pop(created)[:3] == ("dns_validation", "paused", False)
    assert after[queued][:2] == (before[queued][0], "running")
    assert after[comprehensive][:2] == ("comprehensive", "running")
    assert after[cancelled][:2] == ("domain_generation", "cancelled")
    touched = {queued, comprehensive, cancelled}
    assert {key: value for key, value in after.items() if key not in touched} == {
        key: value for key, value in before.items() if key not in touched
    }


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_transform_that_was_never_contracted_is_taken_back(legacy_database: Database, steps: int) -> None:
    parameters = MigrateParameters(mode="apply")
    async with connect(legacy_database) as connection:
        before = await values(connection)
        run_id = str(uuid.uuid4())
        async with run.exclusive_run(legacy_database, "public", parameters, run_id, "test"):
            if steps == 1:
                await transform.expand(connection, parameters, run_id)
            else:
                await transform.transform(legacy_database, parameters, run_id, unheard)
        if steps == 3:
            await connection.execute("SELECT migration_add_checks()")
        await go_back(legacy_database)
        assert await state.read_state(connection) is State.LEGACY
        assert await values(connection) == before
        left = await connection.fetch(
            "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'zz%' OR tgname LIKE 'migration%'"
        )
        assert not left


async def test_nothing_to_take_back_is_said_without_an_error_code(legacy_database: Database) -> None:
    with pytest.raises(errors.NothingToRollBack, match="legacy"):
        await go_back(legacy_database)
    assert errors.NothingToRollBack.exit_code == 0


async def test_the_backed_up_data_comes_back_and_later_changes_are_saved_aside(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        before = await connection.fetch("SELECT * FROM campaigns ORDER BY id")
        await migrate(legacy_database)
        gone, changed, *_ = [row["id"] for row in before]
        await connection.execute("DELETE FROM campaigns WHERE id = $1", gone)
        await connection.execute(
            "UPDATE campaigns SET name = 'changed', phase_status = 'failed' WHERE id = $1", changed
        )
        new = await connection.fetchval(
            "INSERT INTO campaigns (name, user_id) SELECT 'new', user_id FROM campaigns LIMIT 1 RETURNING id"
        )
        plan = await rollback.plan_rollback(legacy_database, RollbackParameters(restore_data=True))
        assert plan.restored_data is not None
        assert (plan.restored_data.changed_keys, plan.restored_data.deleted_keys, plan.restored_data.created_keys) == (
            [str(changed)], [str(gone)], [str(new)],
        )  # fmt: skip
        assert await connection.fetchval("SELECT name FROM campaigns WHERE id = $1", changed) == "changed"
        report = await go_back(legacy_database, restore_data=True)
        assert report.restored_data is not None
        assert (report.restored_data.changed, report.restored_data.deleted, report.restored_data.created) == (1, 1, 1)
        assert report.restored_data.saved_as == "campaigns_pre_rollback_backup"
        columns = list(before[0].keys())
        after = await connection.fetch(f"SELECT {', '.join(columns)} FROM campaigns WHERE id <> $1 ORDER BY id", new)
        assert [tuple(row) for row in after] == [tuple(row) for row in before]
        assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE id = $1", new) == 1
        saved = await connection.fetchval("SELECT name FROM campaigns_pre_rollback_backup WHERE id = $1", changed)
        assert saved == "changed"


async def test_new_campaigns_go_only_where_that_is_said(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await migrate(legacy_database)
        await connection.execute("INSERT INTO campaigns (name, user_id) SELECT 'new', user_id FROM campaigns LIMIT 1")
        await go_back(legacy_database, restore_data=True, drop_new_campaigns=True)
        assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE name = 'new'") == 0


async def test_restoring_before_the_down_migrations_and_after_them_gives_the_same(
    legacy_database: Database, run_psql: Callable[..., Any]
) -> None:
    async with connect(legacy_database) as connection:
        before = await values(connection)
        await migrate(legacy_database)
        await connection.execute("UPDATE campaigns SET phase_status = 'failed', updated_at = now()")
        run_psql(legacy_database, file=sql_files.SCRIPTS / "rollback-data.sql")
        run_psql(legacy_database, file=sql_files.SCRIPTS / "rollback-data.sql")
        await go_back(legacy_database)
        assert await values(connection) == before
        await connection.execute("UPDATE campaigns SET status = 'running'")
        run_psql(legacy_database, file=sql_files.SCRIPTS / "rollback-data.sql")
        assert await values(connection) == before


async def test_partly_filled_phases_columns_keep_what_they_had(sample_factory: SampleFactory) -> None:
    database = await sample_factory(phases_columns="partial")
    async with connect(database) as connection:
        before = await connection.fetch("SELECT * FROM campaigns ORDER BY id")
        read = "SELECT id, current_phase, phase_status FROM campaigns"
        filled = {tuple(row) for row in await connection.fetch(read) if None not in tuple(row)}
        assert filled
        await migrate(database)
        assert filled <= {tuple(row) for row in await connection.fetch(read)}
        assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE current_phase IS NULL") == 0
        given = before[3]["id"]
        await connection.execute(
            "UPDATE campaigns SET current_phase = 'analysis', phase_status = 'failed' WHERE id = $1", given
        )
        await go_back(database)
        columns = ", ".join(f'"{name}"' for name in dict(before[0]))
        after = {row["id"]: tuple(row) for row in await connection.fetch(f"SELECT {columns} FROM campaigns")}
        assert await connection.fetchval("SELECT current_phase FROM campaigns WHERE id = $1", given) == "analysis"
        after.pop(given)
        assert after == {row["id"]: tuple(row) for row in before if row["id"] != given}


@pytest.mark.parametrize("prefer", ["phases", "legacy"])
async def test_a_contradiction_stops_the_transform_until_a_side_is_preferred(
    sample_factory: SampleFactory, prefer: str
) -> None:
    database = await sample_factory(phases_columns="partial")
    async with connect(database) as connection:
        campaign = await connection.fetchval(
            "UPDATE campaigns SET current_phase = 'analysis' WHERE id = (SELECT id FROM campaigns"
            " WHERE campaign_type = 'dns_validation' LIMIT 1) RETURNING id"
        )
        with pytest.raises(errors.StepFailed, match=str(campaign)):
            await migrate(database)
        await migrate(database, prefer=prefer)
        phase = await connection.fetchval("SELECT current_phase FROM campaigns WHERE id = $1", campaign)
        assert phase == ("analysis" if prefer == "phases" else "dns_validation")
        await go_back(database)
        kind = await connection.fetchval("SELECT campaign_type FROM campaigns WHERE id = $1", campaign)
        assert kind == ("analysis" if prefer == "phases" else "dns_validation")


async def test_both_models_stay_in_step_whichever_side_writes(legacy_database: Database) -> None:
    parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
    async with run.exclusive_run(legacy_database, "public", parameters, run_id, "test"):
        await transform.transform(legacy_database, parameters, run_id, unheard)
    read = "SELECT campaign_type, status, current_phase, phase_status, progress::float8 FROM campaigns WHERE id = $1"

    async def look(connection: Connection, campaign: Any) -> tuple[Any, ...]:
        row = await connection.fetchrow(read, campaign)
        assert row is not None
        return tuple(row)

    async with connect(legacy_database) as connection:
        insert = (
            "INSERT INTO campaigns (name, user_id, {0}) SELECT 'x', user_id, {1} FROM campaigns LIMIT 1 RETURNING id"
        )
        one = await connection.fetchval(insert.format("campaign_type, status", "'dns_validation', 'queued'"))
        assert (await look(connection, one)) == (
            "dns_validation",
            "queued",
            "dns_validation",
            "not_started",
            0,
        )
        await connection.execute("UPDATE campaigns SET status = 'completed' WHERE id = $1", one)
        assert (await look(connection, one))[1:] == ("completed", "dns_validation", "completed", 100)
        await connection.execute(
            "UPDATE campaigns SET phase_status = 'in_progress', current_phase = 'analysis' WHERE id = $1", one
        )
        assert (await look(connection, one)) == ("analysis", "running", "analysis", "in_progress", 75)
        two = await connection.fetchval(
            insert.format("current_phase, phase_status", "'http_keyword_validation', 'paused'")
        )
        assert (await look(connection, two))[:4] == (
            "http_keyword_validation", "paused", "http_keyword_validation", "paused",
        )  # fmt: skip
        with pytest.raises(Exception, match="contradict") as refused:
            await connection.execute(
                "UPDATE campaigns SET status = 'failed', phase_status = 'completed' WHERE id = $1", two
            )
        assert refused.value.sqlstate == "23514"  # type: ignore[attr-defined]  # only server errors have one
        kept = await connection.fetch(
            "SELECT c.id FROM campaigns AS c LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id"
            " WHERE (v.campaign_type, v.status, v.launch_sequence)"
            " IS DISTINCT FROM (c.campaign_type, c.status, c.launch_sequence)"
        )
        assert not kept
