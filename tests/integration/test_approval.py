"""A run that awaits approval: who is kept out meanwhile, and what ends the waiting."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tasks import approval as steps
from tasks import recorder
from tasks.core import approval, approval_page, errors
from tasks.core import plan as plans
from tasks.core import preflight as preflights
from tasks.core.approval import Approval
from tasks.core.benchmark import draw_inputs
from tasks.core.benchmark_answers import compare_answers
from tasks.core.database import Database, connect
from tasks.core.progress import unheard
from tasks.core.run import exclusive_run, stand_aside
from tasks.core.settings import MigrateParameters, RollbackParameters
from tasks.core.transform import transform
from tasks.recorder import Recorder

APPLY = MigrateParameters(mode="apply", require_approval=True)


async def _asked(database: Database, *, hours: float = 1.0) -> str:
    """A run that has asked and ended; its id."""
    run_id = str(uuid4())
    async with exclusive_run(database, "public", APPLY, run_id, "migrate-to-phases"):
        await approval.ask(database, "public", run_id, flow_run_id=None, hours=hours, backup_directory="/b")
    return run_id


async def _outcomes(database: Database) -> list[str]:
    async with connect(database) as connection:
        return [row[0] for row in await connection.fetch("SELECT outcome FROM migration_runs ORDER BY started_at")]


async def _run(database: Database, *, approved: Approval | None = None, abandon: bool = False) -> None:
    async with exclusive_run(
        database, "public", RollbackParameters(), str(uuid4()), "rollback-phases", approval=approved, abandon=abandon
    ):
        pass


async def test_while_a_run_awaits_approval_nothing_is_held_and_others_are_told_which_one_waits(
    legacy_database: Database,
) -> None:
    run_id = await _asked(legacy_database)

    assert await _outcomes(legacy_database) == ["awaiting_approval"]
    async with connect(legacy_database) as connection:
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
        assert await connection.fetchval(held + " WHERE datname = current_database())") == 0
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert await connection.fetchval(others + " AND backend_type = 'client backend'") == 0
    with pytest.raises(errors.RunAwaitsApproval) as refused:
        await _run(legacy_database)
    assert refused.value.exit_code == 6
    assert run_id in str(refused.value)
    assert "--approve" in str(refused.value)
    assert await _outcomes(legacy_database) == ["awaiting_approval"]


async def test_what_only_looks_stands_aside_while_a_run_is_at_work_and_not_while_one_waits(
    legacy_database: Database,
) -> None:
    await _asked(legacy_database)
    async with connect(legacy_database) as connection:
        await stand_aside(connection, legacy_database, "public")
        async with exclusive_run(legacy_database, "public", APPLY, str(uuid4()), "migrate-to-phases", abandon=True):
            with pytest.raises(errors.AnotherRunIsActive, match="migrate-to-phases"):
                await stand_aside(connection, legacy_database, "public")


async def test_a_run_that_goes_on_with_an_approval_closes_the_one_that_waited(legacy_database: Database) -> None:
    await _asked(legacy_database)
    waiting = await approval.find_waiting_run(legacy_database, "public")
    assert waiting is not None
    assert waiting.backup_directory == "/b"

    await _run(legacy_database, approved=Approval(waiting=waiting, closing="approved", decided_by="Ada"))

    assert await _outcomes(legacy_database) == ["approved", "completed"]
    async with connect(legacy_database) as connection:
        decided = await connection.fetchrow("SELECT decision, decided_by FROM migration_approvals")
    assert decided is not None
    assert tuple(decided) == ("approved", "Ada")


async def test_abandoning_gives_up_the_run_that_waits(legacy_database: Database) -> None:
    await _asked(legacy_database)

    await _run(legacy_database, abandon=True)

    assert await _outcomes(legacy_database) == ["abandoned", "completed"]


async def test_after_its_deadline_a_run_keeps_nobody_out(legacy_database: Database) -> None:
    await _asked(legacy_database, hours=1e-9)

    await _run(legacy_database)

    assert await _outcomes(legacy_database) == ["expired", "completed"]


@pytest.mark.parametrize(
    ("typed", "hours", "reason"),
    [("nonsense", 1.0, "not the name of the database"), (None, 1e-9, "waited until"), (None, None, "no run awaits")],
)
async def test_an_approval_that_fits_no_waiting_run_is_refused(
    legacy_database: Database, tmp_path: Path, typed: str | None, hours: float | None, reason: str
) -> None:
    if hours is not None:
        await _asked(legacy_database, hours=hours)
    parameters = APPLY.model_copy(update={"approve": typed or legacy_database.database, "report_directory": tmp_path})
    with recorder.recording(Recorder("migrate-to-phases", legacy_database, parameters)):
        with pytest.raises(errors.BadInput, match=reason):
            await steps.hear(legacy_database, parameters)


async def test_the_page_for_whoever_approves_names_locks_gain_and_findings(legacy_database: Database) -> None:
    parameters = MigrateParameters(mode="apply")
    run_id = str(uuid4())
    async with exclusive_run(legacy_database, "public", parameters, run_id, "migrate-to-phases"):
        await transform(legacy_database, parameters, run_id, unheard)
        inputs = await draw_inputs(legacy_database, "public", seed=1)
        answers = await compare_answers(legacy_database, "public", inputs)
        found = await preflights.run_preflight(legacy_database, parameters, for_apply=True)
        plan = await plans.make_plan(legacy_database, parameters)

    page = approval_page.page(legacy_database, found, plan, answers, target=40.0, hours=72.0)

    short = approval_page.in_short(legacy_database, found, plan, answers, datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    assert legacy_database.database in page
    assert legacy_database.database in short
    assert len(short.splitlines()) < 8
    assert "by 2026-01-02 03:04 UTC the legacy columns stay" in short
    assert "nobody answers within 72 h" in page
    assert "time (geometric mean" in short
    assert "DROP COLUMN" not in page  # a part of 000035, and of its lock
    assert "000035_eliminate_dual_architecture.up.sql" in page
    assert "ACCESS EXCLUSIVE on campaigns" in page
    assert "everybody" in page
    assert "user_campaign_dashboard" in page
    assert "60 campaigns and 6,000 domains" in page
    assert all(one.code in page for one in found.warnings)


def test_a_decision_is_checked_by_the_server_before_the_run_goes_on() -> None:
    database = Database(host="h", database="campaigns", user="u")
    schema = steps.Decision.about(database).model_json_schema()

    assert schema["then"]["properties"]["database"]["const"] == "campaigns"
    assert schema["else"]["properties"]["reason"]["minLength"] == 1
