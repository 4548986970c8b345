"""The migration team's way: deployments on a real Prefect server, run by a real worker, asked for in the UI."""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.core.client_binaries import find_client_binary
from tasks.core.database import Database
from tests.browser import Browser, open_browser
from tests.prefect_stack import FINAL, PrefectStack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

STEPS = [
    "preflight",
    "backup",
    "benchmark-inputs",
    "benchmark-before",
    "transform",
    "answers",
    "cut-over",
    "approval",
    "core-migrations",
    "validation",
    "benchmark-after",
    "comparison",
    "integration-test",
    "report",
]
ARTIFACTS = {
    "preflight",
    "census",
    "backup",
    "answers",
    "approval",
    "benchmark",
    "progress",
    "validation",
    "integration",
    "comparison",
    "comparison-table",
    "summary",
    "timeline",
}


def test_every_deployment_is_there_with_its_schedule(prefect_stack: PrefectStack) -> None:
    schedules = {
        name: [
            (schedule["schedule"]["cron"], schedule["schedule"]["timezone"])
            for schedule in prefect_stack.deployment(name)["schedules"]
        ]
        for name in (
            "migrate-to-phases",
            "rollback-phases",
            "validate-phases",
            "benchmark-phases",
            "maintain-phases-indexes",
        )
    }

    assert schedules == {
        "migrate-to-phases": [],
        "rollback-phases": [],
        "validate-phases": [("30 3 2 * *", "UTC")],
        "benchmark-phases": [("0 4 3 1,4,7,10 *", "UTC")],
        "maintain-phases-indexes": [("0 3 * * 0", "UTC")],
    }


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"benchmark_rounds": 1}, "1 is less than the minimum of 5"),
        ({"mode": "aply"}, "'aply' is not one of"),
        ({"mod": "apply"}, "'mod' was unexpected"),
    ],
)
def test_a_wrong_value_is_refused_before_there_is_a_run(
    prefect_stack: PrefectStack, parameters: dict[str, object], reason: str
) -> None:
    deployment = prefect_stack.deployment("migrate-to-phases")["id"]
    answer = prefect_stack.api.post(
        f"/deployments/{deployment}/create_flow_run", json={"parameters": {"parameters": parameters}}
    )

    assert answer.status_code == 409
    assert reason in answer.text


def test_a_migration_triggered_through_the_api_completes_with_its_artifacts(prefect_stack: PrefectStack) -> None:
    reports = prefect_stack.directory / "reports-migrate"
    processes = ProcessLists()
    with processes.watched():
        run = prefect_stack.run(
            "migrate-to-phases", {"mode": "apply", "report_directory": str(reports), "benchmark_rounds": 5}
        )

    log = prefect_stack.log(run["id"])
    assert run["state"]["name"] == "Completed", log
    assert run["state"]["message"].startswith("Migrated: 60 campaigns and 6,000 domains"), run["state"]["message"]
    names = [task["name"].partition(":")[0] for task in prefect_stack.task_runs(run["id"])]
    assert names == [step for step in STEPS if step != "approval"]
    artifacts = prefect_stack.artifacts(run["id"])
    assert set(artifacts) >= ARTIFACTS - {"approval"}
    assert "user_campaign_dashboard" in artifacts["comparison"]["data"]
    assert "core-migrations completed" in log
    assert "already exists, skipping" not in log
    assert json.loads((reports / "report.json").read_text())["outcome"] == "succeeded"
    assert_the_password_is_nowhere(prefect_stack, run, processes)


@pytest.mark.large
def test_an_approval_outlives_its_worker_and_an_expired_one_says_what_became_of_the_database(
    prefect_stack: PrefectStack,
) -> None:
    stack = prefect_stack
    back_to_legacy(stack)
    parameters = {"mode": "apply", "require_approval": True, "approval_hours": 0.02, "benchmark_rounds": 5}

    waiting = stack.begin("migrate-to-phases", parameters)
    expired = stack.wait(waiting, {"Expired", "COMPLETED", "CRASHED", "CANCELLED"})
    assert expired["state"]["name"] == "Expired", stack.log(waiting)
    assert "the legacy columns stay. Both models are live" in expired["state"]["message"]

    stack.retry(waiting)
    stack.wait(waiting, {"RUNNING"})
    stack.wait(waiting, {*FINAL, "PAUSED"})
    assert stack.state(waiting)["name"] == "Suspended", stack.log(waiting)
    assert stack.sessions_left() == 0
    stack.change_worker()
    answer = stack.resume(waiting, {"decision": "approve", "decided_by": "Ada", "database": "campaigns"})
    assert answer["status"] == "ACCEPT", answer
    done = stack.wait(waiting)
    assert done["state"]["name"] == "Completed", stack.log(waiting)
    assert done["name"] == "apply campaigns"


@pytest.fixture(scope="module")
def browser(prefect_stack: PrefectStack) -> Iterator[Browser]:
    with open_browser(prefect_stack.running.ui_url) as opened:
        yield opened


@pytest.mark.large
def test_a_migration_is_started_approved_and_understood_in_the_browser(
    prefect_stack: PrefectStack, browser: Browser
) -> None:
    """The form, the run that waits, the dialog that refuses a wrong name, the run that is done, its comparison."""
    back_to_legacy(prefect_stack)
    reports = prefect_stack.directory / "reports-browser"
    processes = ProcessLists()
    with processes.watched():
        fill_form(prefect_stack, browser, "migrate-to-phases")
        browser.choose("Mode", "apply")
        browser.press("Require approval")
        browser.screenshot("form")
        browser.type("Rounds", "5")
        browser.tab("Report directory", "path")
        browser.type("Report directory", str(reports))
        run_id = submitted(prefect_stack, browser, "migrate-to-phases")
        prefect_stack.wait(run_id, {*FINAL, "PAUSED"})
        assert prefect_stack.state(run_id)["name"] == "Suspended", prefect_stack.log(run_id)
        assert json.loads((reports / "report.json").read_text())["outcome"] == "awaiting_approval"

        browser.open(f"/runs/flow-run/{run_id}")
        browser.see("Suspended")
        browser.menu("Resume")
        browser.choose("Decision", "approve")
        browser.type("Your name", "Ada")
        browser.type("Database", "nonsense")
        browser.answer("Resume")
        browser.see("Validation failed for field 'database'")
        browser.type("Database", "campaigns")
        browser.screenshot("approval")
        browser.answer("Resume")
        prefect_stack.wait(run_id, {"SCHEDULED", "PENDING", "RUNNING", *FINAL})
        run = prefect_stack.wait(run_id)

    log = prefect_stack.log(run_id)
    assert run["state"]["name"] == "Completed", log
    assert run["state"]["message"].startswith("Migrated: 60 campaigns and 6,000 domains"), run["state"]["message"]
    browser.open(f"/runs/flow-run/{run_id}?tab=TaskRuns")
    browser.see("Completed", "integration-test: ")
    browser.screenshot("run")
    artifacts = prefect_stack.artifacts(run_id)
    browser.open(f"/artifacts/artifact/{artifacts['comparison']['id']}")
    browser.see("user_campaign_dashboard")
    browser.see_pictures()
    browser.screenshot("comparison")
    browser.open(f"/artifacts/artifact/{artifacts['timeline']['id']}")
    browser.see_pictures()
    assert artifacts["progress"]["data"] == 100

    names = [task["name"].partition(":")[0] for task in prefect_stack.task_runs(run_id)]
    assert names == [*STEPS[: STEPS.index("core-migrations")], "report", *STEPS]
    assert set(artifacts) >= ARTIFACTS
    assert "core-migrations completed" in log
    assert "already exists, skipping" not in log
    report = json.loads((reports / "report.json").read_text())
    assert report["outcome"] == "succeeded"
    assert report["extra"]["approved_by"] == "Ada"
    assert "approved by: Ada" in artifacts["summary"]["data"]
    assert len(list(reports.glob("backup*"))) == 1, "what was backed up before the run waited is not dumped again"

    assert_the_password_is_nowhere(prefect_stack, run, processes)


@pytest.mark.large
def test_a_plan_a_rejection_the_way_back_a_cancel_and_the_schedules_in_the_browser(
    prefect_stack: PrefectStack, browser: Browser
) -> None:
    stack = prefect_stack
    back_to_legacy(stack)

    fill_form(stack, browser, "migrate-to-phases")
    planned = stack.wait(submitted(stack, browser, "migrate-to-phases"))
    assert planned["state"]["message"].startswith("Planned, nothing was changed"), planned["state"]
    for key, words in (("plan", "ACCESS EXCLUSIVE"), ("census", "queued"), ("preflight", "duplicate-index")):
        browser.open(f"/artifacts/artifact/{stack.artifacts(planned['id'])[key]['id']}")
        browser.see(words)
        browser.screenshot(key)

    waiting = stack.begin("migrate-to-phases", {"mode": "apply", "require_approval": True, "benchmark_rounds": 5})
    stack.wait(waiting, {*FINAL, "PAUSED"})
    other = stack.run("migrate-to-phases", {"mode": "apply"})
    assert "awaits approval until" in other["state"]["message"]
    browser.open(f"/runs/flow-run/{waiting}")
    browser.see("Suspended")
    browser.menu("Resume")
    browser.choose("Decision", "reject")
    browser.type("Your name", "Grace")
    browser.answer("Resume")
    browser.see("Validation failed")
    browser.type("Reason", "not on a Friday")
    browser.answer("Resume")
    stack.wait(waiting, {"SCHEDULED", "PENDING", "RUNNING", *FINAL})
    rejected = stack.wait(waiting)
    assert rejected["state"]["name"] == "Rejected", stack.log(waiting)
    assert "Grace rejected the cut-over: not on a Friday" in rejected["state"]["message"]
    assert "both models live" in rejected["state"]["message"]
    browser.open(f"/runs/flow-run/{waiting}")
    browser.see("Rejected")
    browser.screenshot("rejected")

    fill_form(stack, browser, "rollback-phases")
    browser.choose("Mode", "apply")
    browser.type("Confirm", "campaigns")
    browser.screenshot("rollback-form")
    back = stack.wait(submitted(stack, browser, "rollback-phases"))
    assert back["state"]["message"].startswith("Database campaigns is on the legacy model again"), back["state"]
    browser.open(f"/runs/flow-run/{back['id']}?tab=TaskRuns")
    browser.see("Completed", "rollback: ")
    browser.screenshot("rollback")

    with in_the_way(stack.campaigns):
        cancelled = stack.begin("migrate-to-phases", {"mode": "apply", "benchmark_rounds": 5})
        browser.open(f"/runs/flow-run/{cancelled}?tab=TaskRuns")
        browser.see("transform")
        browser.menu("Cancel")
        browser.answer("Cancel Flow Run")
        ended = stack.wait(cancelled)
        assert ended["state"]["type"] == "CANCELLED", stack.log(cancelled)
        assert stack.sessions_left() == 1, "the one in the way"
    browser.open(f"/runs/flow-run/{cancelled}")
    browser.see("Cancelled")
    browser.screenshot("cancelled")
    after = stack.run("migrate-to-phases", {"mode": "apply", "benchmark_rounds": 5})
    assert after["state"]["name"] == "Completed", stack.log(after["id"])
    maintained = stack.run("maintain-phases-indexes", {})
    assert maintained["state"]["name"] == "Completed", stack.log(maintained["id"])
    assert "maintenance" in stack.artifacts(maintained["id"])

    for name, words, described in (
        ("maintain-phases-indexes", "At 03:00 AM, only on Sunday", "Weekly, on Sundays at 03:00 UTC"),
        ("validate-phases", "At 03:30 AM, on day 2 of the month", "Monthly, on the 2nd at 03:30 UTC"),
        ("benchmark-phases", "At 04:00 AM, on day 3 of the month", "Quarterly, on the 3rd at 04:00 UTC"),
    ):
        browser.open(f"/deployments/deployment/{stack.deployment(name)['id']}")
        browser.see(words)
        browser.click("Description", "button")
        browser.see(described)
        browser.screenshot(name)


def back_to_legacy(stack: PrefectStack) -> None:
    """Whatever ran before."""
    back = stack.run("rollback-phases", {"mode": "apply", "confirm": "campaigns"})
    assert back["state"]["name"] == "Completed", stack.log(back["id"])


def fill_form(stack: PrefectStack, browser: Browser, name: str) -> None:
    """Open the form of a deployment and choose the database."""
    browser.open(f"/deployments/deployment/{stack.deployment(name)['id']}/run")
    browser.click("Select a block...")
    browser.click("campaigns", "*[@role='option']")


def submitted(stack: PrefectStack, browser: Browser, name: str) -> str:
    """Submit the form. Returns the id of the run that comes of it."""
    earlier = stack.runs(name)
    browser.click("Submit", "button")
    return stack.new_run(name, earlier)


@contextmanager
def in_the_way(database: Database) -> Iterator[None]:
    """Hold a lock that the transform's triggers wait for."""
    psql = [str(find_client_binary("psql", 14)), "-X", "-q"]
    with subprocess.Popen(psql, env=database.client_environment(), stdin=subprocess.PIPE, text=True) as holding:
        assert holding.stdin is not None
        holding.stdin.write("BEGIN; LOCK TABLE campaigns IN ROW EXCLUSIVE MODE;\n")
        holding.stdin.flush()
        yield
        holding.stdin.close()


def assert_the_password_is_nowhere(stack: PrefectStack, run: dict[str, Any], processes: ProcessLists) -> None:
    found = {
        "the run": json.dumps(run),
        "its artifacts": json.dumps(stack.artifacts(run["id"])),
        "its log": stack.log(run["id"]),
        "a process list": "\n".join(processes.seen),
        "Prefect's database": stack.prefect_database(),
        **{str(path): unpacked(path) for path in stack.directory.rglob("*") if is_output(path)},
    }
    assert len(processes.seen) > 10
    assert "postgres-database" in found["Prefect's database"]
    assert [place for place, text in found.items() if stack.password in text] == []


class ProcessLists:
    """Every command line that was seen on this machine while something went on."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True)
                self.seen |= set(listed.stdout.splitlines())

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()


def is_output(path: Path) -> bool:
    """What a run or a program has written: not the servers' own files, which hold their passwords by their nature."""
    return path.is_file() and not {"postgres", "prefect"} & set(path.parts[3:4])


def unpacked(path: Path) -> str:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode(errors="replace")
