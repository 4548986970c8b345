"""The way back is online, as the way up is: both models live while it goes on, and it ends where it should whatever comes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tasks.core import errors, forget, preflight, rollback, run, sql_files, state, way_back
from tasks.core.database import Connection, Database, connect
from tasks.core.models import State
from tasks.core.preflight.tables import COLUMN_LIMIT
from tasks.core.progress import unheard
from tasks.core.settings import LockLimits, RollbackParameters
from tests.chain import MISCOUNTED, PHASES, Chain, difference, differences
from tests.kill.writers import Writers

SampleFactory = Callable[..., Any]
# Everything in a database that has a name, and every setting of a role or a database.
EVERYTHING = """
SELECT 'function ' || p.oid::regprocedure FROM pg_proc AS p JOIN ours AS n ON n.oid = p.pronamespace
UNION ALL SELECT format('trigger %s on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' WHEN 'v' THEN 'view'
    ELSE 'relation' END || ' ' || c.relname FROM pg_class AS c JOIN ours AS n ON n.oid = c.relnamespace
UNION ALL SELECT format('column %s.%s', a.attrelid::regclass, a.attname) FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid JOIN ours AS n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'type ' || t.oid::regtype FROM pg_type AS t JOIN ours AS n ON n.oid = t.typnamespace
UNION ALL SELECT format('setting of %s in %s: %s', setrole, setdatabase, setconfig) FROM pg_db_role_setting
UNION ALL SELECT 'schema ' || nspname FROM ours
UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
UNION ALL SELECT 'comment on ' || pg_describe_object(classoid, objoid, objsubid) FROM pg_description WHERE objoid >= 16384
UNION ALL SELECT format('privileges by default %s', defaclacl) FROM pg_default_acl
"""
OURS = (
    "WITH ours AS (SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')"
)
DROPPED = """
SELECT attrelid::regclass || ': ' || count(*) FROM pg_attribute WHERE attisdropped GROUP BY attrelid ORDER BY 1
"""
# The books of runs stay, and until --forget the two copies of campaigns.
BOOKS, COPIES = (
    {"migration_runs", "migration_ledger", "migration_approvals"},
    {"campaigns_backup_000035", "campaigns_pre_migration_backup"},
)


async def everything(chain: Chain) -> set[str]:
    return set(await chain.values(OURS + EVERYTHING))


def tables_of(names: set[str]) -> set[str]:
    return {name.removeprefix("table ") for name in names if name.startswith("table ")}


async def go_back(database: Database, **options: Any) -> rollback.RollbackReport:
    parameters = RollbackParameters(mode="apply", confirm=database.database, **options)
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "test"):
        return await rollback.roll_back(database, parameters, run_id, unheard)


async def open_the_window(connection: Connection) -> None:
    """As far as the legacy columns, still empty: where the fill begins."""
    blocks = sql_files.blocks(sql_files.migration(35, "down"))
    await connection.execute(blocks["keep_row"] + blocks["legacy_back"])
    await connection.execute("SELECT migration_prepare_return()")
    await connection.execute("SELECT migration_return_columns()")


async def test_with_writers_at_work_the_way_back_loses_nothing_and_holds_no_lock_for_the_rows(
    legacy_database: Database,
) -> None:
    chain = Chain(legacy_database)
    schema = chain.dump()
    await chain.up()
    async with Writers(legacy_database, sessions=3) as writers:
        while writers.writes < 30:
            await chain.execute("SELECT pg_sleep(0.05)")
        report = await go_back(legacy_database)
        before = writers.writes
        while writers.writes < before + 20:  # legacy writers go on, phases writers have turned into such
            await chain.execute("SELECT pg_sleep(0.05)")
    assert [hold.statement for hold in report.locks] == [
        "migration_return_columns()", "migration_return_checks()", "migration_return_settings()", "000036 down", "000035 down",
    ]  # fmt: skip
    assert writers.failures == {}
    async with connect(legacy_database) as connection:
        await writers.assert_nothing_is_lost(connection)
        filled = await connection.fetchval(
            "SELECT sum(campaigns) FROM migration_ledger WHERE step = 'rollback' AND detail LIKE 'legacy values up to%'"
        )
    assert filled > 0
    assert difference(chain.dump(), schema) == []


async def test_while_the_legacy_columns_are_filled_writers_of_both_models_are_kept_in_step(
    legacy_database: Database,
) -> None:
    chain = Chain(legacy_database)
    async with connect(legacy_database) as connection:
        pick = "SELECT id FROM campaigns WHERE campaign_type = $1 AND status = $2"
        one, two, three, four = [
            await connection.fetchval(pick, *pair)
            for pair in (
                ("comprehensive", "running"), ("dns_validation", "queued"), ("analysis", "archived"), ("automated", "pausing"),
            )
        ]  # fmt: skip
        await chain.up()
        await open_the_window(connection)
        assert await state.read_state(connection) is State.RETURNING

        async def look(campaign: Any) -> tuple[Any, ...]:
            return tuple(
                await connection.fetchrow(
                    "SELECT campaign_type, status, current_phase, phase_status FROM campaigns WHERE id = $1", campaign
                )
                or ()
            )

        stamped = await connection.fetchval("SELECT updated_at FROM campaigns WHERE id = $1", three)
        assert await look(one) == (None, None, "generation", "in_progress")
        await connection.execute("UPDATE campaigns SET current_phase = 'analysis' WHERE id = $1", one)
        assert await look(one) == ("comprehensive", "running", "analysis", "in_progress")
        await connection.execute("UPDATE campaigns SET status = 'running' WHERE id = $1", two)
        assert await look(two) == ("dns_validation", "running", "dns_validation", "in_progress")
        # A change of a domain alone is a change of its campaign's metrics: the row is filled, and not stamped.
        await connection.execute(
            "INSERT INTO generated_domains (domain_generation_campaign_id, domain_name) VALUES ($1, 'one.more')", three
        )
        assert await look(three) == ("analysis", "archived", "analysis", "completed")
        assert await connection.fetchval("SELECT updated_at FROM campaigns WHERE id = $1", three) == stamped
        with pytest.raises(asyncpg.CheckViolationError, match="contradict each other"):
            await connection.execute(
                "UPDATE campaigns SET status = 'failed', phase_status = 'completed' WHERE id = $1", four
            )
        insert = "INSERT INTO campaigns (name, user_id{0}) SELECT 'x', user_id{1} FROM campaigns LIMIT 1 RETURNING id"
        new = [
            await look(await connection.fetchval(insert.format(columns, values)))
            for columns, values in (
                ("", ""),
                (", current_phase, phase_status", ", 'analysis', 'paused'"),
                (", campaign_type, status", ", 'automated', 'queued'"),
                (", campaign_type, current_phase", ", 'domain_generation', 'analysis'"),
            )
        ]
        assert new == [
            ("domain_generation", "pending", "setup", "not_started"),
            ("analysis", "paused", "analysis", "paused"),
            ("automated", "queued", "generation", "not_started"),
            ("analysis", "pending", "analysis", "not_started"),
        ]
        await go_back(legacy_database)
        assert await state.read_state(connection) is State.LEGACY
        read = "SELECT campaign_type, status FROM campaigns WHERE id = $1"
        assert [tuple(await connection.fetchrow(read, key) or ()) for key in (one, two, three, four)] == [
            ("comprehensive", "running"), ("dns_validation", "running"), ("analysis", "archived"), ("automated", "pausing"),
        ]  # fmt: skip


async def test_a_way_back_that_was_begun_is_ended_before_anything_goes_up_again(
    legacy_database: Database, run_psql: Callable[..., Any]
) -> None:
    chain = Chain(legacy_database)
    rows, schema = await chain.checksums(), chain.dump()
    await chain.up()
    async with connect(legacy_database) as connection:
        await open_the_window(connection)
    report = await preflight.run_preflight(legacy_database, chain.parameters, for_apply=True)
    assert [finding.code for finding in report.blockers] == ["way-back"]
    # A run whose preflight was over when the way back began is refused by its steps, before they touch anything.
    half_way = chain.dump()
    with pytest.raises(errors.StepFailed, match=r"transform failed .*a way back has begun and not ended"):
        await chain.up()
    assert difference(chain.dump(), half_way) == []
    by_hand = run_psql(legacy_database, file=next(sql_files.MIGRATIONS.glob("000035_*.up.sql")), check=False)
    assert by_hand.returncode != 0
    assert "a way back has begun and not ended" in by_hand.stderr
    # By hand it can be ended, too.
    for version in (36, 35):
        run_psql(legacy_database, file=next(sql_files.MIGRATIONS.glob(f"0000{version}_*.down.sql")))
    assert difference(chain.dump(), schema) == []
    assert differences(await chain.checksums(), rows) == {}


async def test_an_index_that_later_rows_no_longer_allow_is_named_and_the_way_back_goes_on_once_that_is_mended(
    legacy_database: Database,
) -> None:
    chain = Chain(legacy_database)
    await chain.execute("CREATE UNIQUE INDEX one_run_per_name ON campaigns (name) WHERE status = 'running'")
    schema = chain.dump()
    await chain.up()
    await chain.execute(
        "INSERT INTO campaigns (name, user_id, phase_status) SELECT 'twice', user_id, 'in_progress' FROM campaigns LIMIT 2"
    )
    with pytest.raises(errors.StepFailed, match="one_run_per_name"):
        await go_back(legacy_database)
    async with connect(legacy_database) as connection:
        assert await state.read_state(connection) is State.RETURNING
    await chain.execute("UPDATE campaigns SET name = id::text WHERE name = 'twice'")
    assert await chain.values(MISCOUNTED) == []
    await go_back(legacy_database)
    assert difference(chain.dump(), schema) == []


async def test_rows_that_others_hold_are_left_to_a_later_round_and_named_when_they_never_come_free(
    legacy_database: Database,
) -> None:
    await Chain(legacy_database).up()
    limits, run_id = LockLimits(lock_wait_limit_seconds=0.3), str(uuid.uuid4())
    parameters = RollbackParameters(mode="apply", locks=limits)
    async with connect(legacy_database) as connection, connect(legacy_database) as other:
        await open_the_window(connection)
        async with other.transaction(), run.exclusive_run(legacy_database, "public", parameters, run_id, "test"):
            held = await other.fetchval("SELECT id FROM campaigns ORDER BY id LIMIT 1 FOR UPDATE")
            with pytest.raises(errors.LockNotGranted, match=f"{held} .*transaction open for"):
                await way_back.bring_back(legacy_database, connection, limits, run_id, unheard, [])
            unfilled = await connection.fetch("SELECT id FROM campaigns WHERE status IS NULL")
            assert [row["id"] for row in unfilled] == [held]


@pytest.mark.parametrize("who", ["pipeline", "psql"])
async def test_phases_that_were_there_before_come_back_after_the_legacy_model_without_its_lock(
    sample_factory: SampleFactory, run_psql: Callable[..., Any], who: str
) -> None:
    database = await sample_factory(phases_columns="partial")
    chain = Chain(database)
    rows, schema = await chain.checksums(), chain.dump()
    assert await chain.values("SELECT count(*) FROM campaigns WHERE current_phase IS NULL") != [0]
    await chain.up()
    if who == "psql":
        for version in (36, 35):
            run_psql(database, file=next(sql_files.MIGRATIONS.glob(f"0000{version}_*.down.sql")))
    else:
        report = await go_back(database)
        assert [hold.statement for hold in report.locks][-2:] == ["000035 down", "migration_end_phases()"]
        written = "SELECT sum(campaigns)::int FROM migration_ledger WHERE detail = 'former phases'"
        assert await chain.values(written) == [report.unchanged]
    assert differences(await chain.checksums(), rows) == {}
    assert difference(chain.dump(), schema) == []


async def test_once_the_backups_are_forgotten_former_phases_keep_the_values_of_now_and_all_else_comes_back(
    sample_factory: SampleFactory,
) -> None:
    database = await sample_factory(phases_columns="partial")
    chain = Chain(database)
    rows, schema = await chain.checksums(), chain.dump()
    await chain.up()
    now = await chain.values("SELECT id || current_phase || phase_status FROM campaigns ORDER BY 1")
    async with run.exclusive_run(database, "public", RollbackParameters(), run_id := str(uuid.uuid4()), "test"):
        await forget.forget_backups(database, "public", LockLimits(), run_id)
    await go_back(database)
    changed = differences(await chain.checksums(), rows).keys()
    assert changed <= {f"public.campaigns.{name}" for name in PHASES}
    assert await chain.values("SELECT id || current_phase || phase_status FROM campaigns ORDER BY 1") == now
    assert difference(chain.dump(), schema) == []


@pytest.mark.large
async def test_just_below_preflights_limit_of_column_numbers_the_way_there_and_back_has_room(
    legacy_database: Database,
) -> None:
    """Columns of other types take most: ours stand beside them, and they come back under new numbers."""
    chain = Chain(legacy_database)
    replaced = [name for name in PHASES if name not in {"current_phase", "phase_status"}]
    await chain.execute("ALTER TABLE campaigns " + ", ".join(f"ADD {name} integer" for name in replaced))
    (used,) = await chain.values("SELECT max(attnum)::int FROM pg_attribute WHERE attrelid = 'campaigns'::regclass")
    names = [f"c{number}" for number in range(COLUMN_LIMIT - 1 - used)]
    for action, rest in (("ADD", " integer"), ("DROP", "")):
        await chain.execute("ALTER TABLE campaigns " + ", ".join(f"{action} {name}{rest}" for name in names))
    assert (await chain.preflight()).blockers == []
    await chain.there_and_back()
    assert [finding.code for finding in (await chain.preflight()).blockers] == ["column-numbers"]


async def test_up_and_down_again_and_again_leaves_no_residue(legacy_database: Database) -> None:
    chain = Chain(legacy_database)
    schema, before = chain.dump(), await everything(chain)
    left = []
    async with Writers(legacy_database, sessions=2) as writers:
        for turn in range(2):
            await chain.up()
            await go_back(legacy_database)
            assert difference(chain.dump(), schema) == [], f"turn {turn}"
            left.append(await everything(chain))
    assert writers.failures == {}
    async with connect(legacy_database) as connection:
        await writers.assert_nothing_is_lost(connection)
    # What is not the application's is our tables, with their own columns, indexes, types and comments; each turn leaves the same.
    assert before <= left[0] == left[1]
    assert tables_of(left[0] - before) == BOOKS | COPIES
    assert [name for name in left[0] - before if not any(table in name for table in BOOKS | COPIES)] == []
    # Entries of dropped columns are all that grows: seven and three a turn.
    assert await chain.values(DROPPED) == ["campaigns: 20"]
    async with run.exclusive_run(legacy_database, "public", RollbackParameters(), run_id := str(uuid.uuid4()), "test"):
        await forget.forget_backups(legacy_database, "public", LockLimits(), run_id)
    assert tables_of(await everything(chain) - before) == BOOKS
