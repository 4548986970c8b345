"""Whatever becomes of a run, it leaves a report; a lost connection is tried again, a failed gate is not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Suspended
from pydantic import SecretStr

from tasks import ending, gates, recorder, steps
from tasks.blocks import PostgresDatabase
from tasks.core import approval, errors
from tasks.core import run as runs
from tasks.core.database import Database, connect
from tasks.core.models import Outcome
from tasks.core.settings import Contacts, MigrateParameters, Parameters
from tasks.ending import Ending, reported
from tasks.steps import step

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prefect_harness")]

BLOCK = PostgresDatabase(host="h", database="d", user="u", password=SecretStr("planted-secret"))
GATE = errors.GateFailed(gate="validation", reason="2 of 9 failed", state="resting", remedy="Mend it.")


def _told(what: Any) -> Any:
    """A flow whose story is this step alone."""

    @flow(name="told", persist_result=False)
    @reported(steps_in_all=2)
    async def told(database: PostgresDatabase, parameters: Parameters) -> Ending:
        await what()
        return Ending(Outcome.SUCCEEDED, f"All went well with {database.database}, {parameters.schema_name}.")

    return told


def _report(directory: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return report


async def test_a_run_that_goes_well_says_so_in_its_state_and_in_its_report(tmp_path: Path) -> None:
    @step("work")
    async def work() -> None:
        recorder.current().detail("7 rows")

    state = await _told(work)(BLOCK, Parameters(report_directory=tmp_path), return_state=True)

    assert (state.name, state.message) == ("Completed", "All went well with d, public.")
    report = _report(tmp_path)
    assert report["outcome"] == "succeeded"
    assert [(one["name"], one["state"], one["attempts"]) for one in report["steps"]] == [
        ("work", "completed", 1),
        ("report", "completed", 1),
    ]
    assert report["steps"][0]["detail"] == "7 rows"
    assert report["peak_rss_mb"] > 50


async def test_a_failed_gate_is_not_tried_again_and_names_whom_to_call(tmp_path: Path) -> None:
    @step("work")
    async def work() -> None:
        raise GATE

    parameters = MigrateParameters(report_directory=tmp_path, contacts=Contacts(migration="Grace"))
    state = await _told(work)(BLOCK, parameters, return_state=True)

    assert state.name == "Failed"
    assert state.message == f"{GATE} Contacts: migration: Grace."
    report = _report(tmp_path)
    assert report["outcome"] == "failed"
    assert (report["steps"][0]["state"], report["steps"][0]["attempts"]) == ("failed", 1)


async def test_a_lost_connection_is_tried_again_and_the_attempts_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "RETRY_DELAYS_SECONDS", (0.1, 0.1))
    left = [ConnectionResetError("gone"), errors.ServerUnreachable(host="h", port=1, reason="restarting")]

    @step("work")
    async def work() -> None:
        if left:
            raise left.pop()

    state = await _told(work)(BLOCK, Parameters(report_directory=tmp_path), return_state=True)

    assert state.name == "Completed"
    assert (_report(tmp_path)["steps"][0]["state"], _report(tmp_path)["steps"][0]["attempts"]) == ("completed", 3)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.AnotherRunIsActive(database="d", schema="public", holder="session 7 of ada"), "session 7 of ada"),
        (errors.NotMigrated(database="d", schema="public", name="indexes of 000036"), "has not run there"),
    ],
)
async def test_a_scheduled_run_that_meets_another_one_or_comes_too_early_is_skipped_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: errors.MigrationToolError, words: str
) -> None:
    monkeypatch.setattr(ending, "_was_scheduled", lambda: True)

    @step("work")
    async def work() -> None:
        raise error

    state = await _told(work)(BLOCK, Parameters(report_directory=tmp_path), return_state=True)

    assert (state.name, state.is_completed()) == ("Skipped", True)
    assert words in str(state.message)
    assert _report(tmp_path)["outcome"] == "refused"


async def test_a_run_that_was_cancelled_while_it_awaited_approval_keeps_nobody_out(
    legacy_database: Database, tmp_path: Path
) -> None:
    async def work() -> None:
        async with gates.exclusively(legacy_database, Parameters()):
            pass

    states: list[tuple[State[Any], bool]] = [(Suspended(), True), (Cancelled(), False)]
    async with get_client() as client:
        for state, kept_out in states:
            run_id = str(uuid4())
            flow_run = await client.create_flow_run(_told(work), state=state)
            async with runs.exclusive_run(legacy_database, "public", Parameters(), run_id, "migrate", abandon=True):
                await approval.ask(
                    legacy_database, "public", run_id, flow_run_id=flow_run.id, hours=1, backup_directory=None
                )

            ended = await _told(work)(BLOCK, Parameters(report_directory=tmp_path / run_id), return_state=True)

            assert ended.is_failed() == kept_out, ended
            assert (run_id in str(ended.message)) == kept_out
    async with connect(legacy_database) as connection:
        outcomes = await connection.fetch("SELECT outcome FROM migration_runs ORDER BY started_at")
    assert [row["outcome"] for row in outcomes] == ["abandoned", "cancelled", "completed"]


async def test_a_crash_leaves_a_report_and_stays_a_crash(tmp_path: Path) -> None:
    @step("work")
    async def work() -> None:
        raise ZeroDivisionError("by nothing")

    state = await _told(work)(BLOCK, Parameters(report_directory=tmp_path), return_state=True)

    assert isinstance(await state.aresult(raise_on_failure=False), ZeroDivisionError)
    report = _report(tmp_path)
    assert report["outcome"] == "failed"
    assert report["message"] == "The run crashed: ZeroDivisionError: by nothing"


async def test_a_cancelled_run_leaves_a_report_at_once(tmp_path: Path) -> None:
    begun = asyncio.Event()

    @step("work")
    async def work() -> None:
        begun.set()
        await asyncio.sleep(60)

    run = asyncio.create_task(_told(work)(BLOCK, Parameters(report_directory=tmp_path)))
    await begun.wait()
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run
    report = _report(tmp_path)
    assert report["outcome"] == "cancelled"
    assert (report["steps"][0]["state"], report["steps"][0]["detail"]) == ("failed", "ended from outside")


async def test_a_report_directory_that_cannot_be_used_stops_the_run_before_its_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    @step("work")
    async def work() -> None:
        raise AssertionError("too far")

    state = await _told(work)(BLOCK, Parameters(report_directory=tmp_path / "file" / "x"), return_state=True)

    assert isinstance(await state.aresult(raise_on_failure=False), errors.DirectoryUnusable)


async def test_the_password_of_a_block_is_not_in_the_parameters_of_the_run(tmp_path: Path) -> None:
    @step("work")
    async def work() -> None:
        pass

    state = await _told(work)(BLOCK, Parameters(report_directory=tmp_path), return_state=True)

    run_id = state.state_details.flow_run_id
    async with get_client() as client:
        (run,) = await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])))
    assert run.parameters["database"]["host"] == "h"
    assert "planted-secret" not in run.model_dump_json()
