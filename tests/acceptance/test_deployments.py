"""The migration team's way: deployments on a real Prefect server, run by a real worker, asked for through the API."""

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


def test_afterwards_indexes_are_maintained_and_the_way_back_wants_the_databases_name(
    prefect_stack: PrefectStack,
) -> None:
    after = prefect_stack.run(
        "maintain-phases-indexes", {"report_directory": str(prefect_stack.directory / "reports-maintain")}
    )
    assert after["state"]["name"] == "Completed", prefect_stack.log(after["id"])
    assert "maintenance" in prefect_stack.artifacts(after["id"])

    back = prefect_stack.run(
        "rollback-phases",
        {"mode": "apply", "confirm": "nonsense", "report_directory": str(prefect_stack.directory / "reports-rollback")},
    )
    assert back["state"]["name"] == "Failed"
    assert "must be confirmed with the name of the database" in back["state"]["message"]


@pytest.fixture(scope="module")
def browser(prefect_stack: PrefectStack) -> Iterator[Browser]:
    with open_browser(prefect_stack.running.ui_url) as opened:
        yield opened


@pytest.mark.large
def test_a_migration_is_started_approved_and_understood_in_the_browser(
    prefect_stack: PrefectStack, browser: Browser
) -> None:
    """The form, the run that waits, the dialog that refuses a wrong name, the run that is done, its comparison."""
    reports = prefect_stack.directory / "reports-migrate"
    processes = ProcessLists()
    with processes.watched():
        browser.open(f"/deployments/deployment/{prefect_stack.deployment('migrate-to-phases')['id']}/run")
        browser.click("Select a block...")
        browser.click("campaigns", "*[@role='option']")
        browser.choose("Mode", "apply")
        browser.press("Require approval")
        browser.screenshot("form")
        browser.type("Rounds", "5")
        browser.tab("Report directory", "path")
        browser.type("Report directory", str(reports))
        browser.click("Submit", "button")
        run_id = prefect_stack.latest_run("migrate-to-phases")
        prefect_stack.wait(run_id, {*FINAL, "PAUSED"})
        assert prefect_stack.state(run_id)["name"] == "Suspended", prefect_stack.log(run_id)
        assert json.loads((reports / "report.json").read_text())["outcome"] == "awaiting_approval"

        browser.open(f"/runs/flow-run/{run_id}")
        browser.see("Suspended")
        browser.menu("Resume")
        browser.choose("Decision", "approve")
        browser.type("Your name", "Ada")
        browser.type("Database", "nonsense")
        refused = "Validation failed for field 'database'"
        browser.click_until(lambda: refused in browser.text(), "Resume", "button[@type='submit']")
        browser.type("Database", "campaigns")
        browser.screenshot("approval")
        browser.click_until(lambda: prefect_stack.state(run_id)["type"] != "PAUSED", "Resume", "button[@type='submit']")
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
    browser.screenshot("comparison")

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
def test_a_plan_a_rejection_a_cancel_the_way_back_and_the_schedules_in_the_browser(
    prefect_stack: PrefectStack, browser: Browser
) -> None:
    stack = prefect_stack
    back = stack.run("rollback-phases", {"mode": "apply", "confirm": "campaigns"})
    assert back["state"]["message"].startswith("Database campaigns is on the legacy model again"), back["state"]

    browser.open(f"/deployments/deployment/{stack.deployment('migrate-to-phases')['id']}/run")
    browser.click("Select a block...")
    browser.click("campaigns", "*[@role='option']")
    browser.click("Submit", "button")
    planned = stack.wait(stack.latest_run("migrate-to-phases"))
    assert planned["state"]["message"].startswith("Planned, nothing was changed"), planned["state"]
    for key, words in (("plan", "ACCESS EXCLUSIVE"), ("census", "domain_generation"), ("preflight", "duplicate-index")):
        browser.open(f"/artifacts/artifact/{stack.artifacts(planned['id'])[key]['id']}")
        browser.see(words)
        browser.screenshot(key)

    waiting = stack.begin("migrate-to-phases", {"mode": "apply", "require_approval": True, "benchmark_rounds": 5})
    stack.wait(waiting, {*FINAL, "PAUSED"})
    other = stack.run("migrate-to-phases", {"mode": "apply"})
    assert waiting not in other["id"]
    assert "awaits approval until" in other["state"]["message"]
    browser.open(f"/runs/flow-run/{waiting}")
    browser.menu("Resume")
    browser.choose("Decision", "reject")
    browser.type("Your name", "Grace")
    browser.type("Reason", "not on a Friday")
    browser.click("Resume", "button[@type='submit']")
    stack.wait(waiting, {"SCHEDULED", "PENDING", "RUNNING", *FINAL})
    rejected = stack.wait(waiting)
    assert rejected["state"]["name"] == "Rejected", stack.log(waiting)
    assert "Grace rejected the cut-over: not on a Friday" in rejected["state"]["message"]
    assert "both models live" in rejected["state"]["message"]
    browser.open(f"/runs/flow-run/{waiting}")
    browser.see("Rejected")
    browser.screenshot("rejected")

    cancelled = stack.begin("migrate-to-phases", {"mode": "apply", "benchmark_rounds": 500})
    stack.wait(cancelled, {"RUNNING", *FINAL})
    browser.open(f"/runs/flow-run/{cancelled}?tab=TaskRuns")
    browser.see("benchmark-inputs")
    browser.menu("Cancel")
    browser.click("Cancel Run", "button")
    ended = stack.wait(cancelled)
    assert ended["state"]["type"] == "CANCELLED", stack.log(cancelled)
    assert stack.sessions_left() == 0
    browser.open(f"/runs/flow-run/{cancelled}")
    browser.see("Cancelled")
    browser.screenshot("cancelled")

    for name, words in (
        ("maintain-phases-indexes", "03:00"),
        ("validate-phases", "03:30"),
        ("benchmark-phases", "04:00"),
    ):
        browser.open(f"/deployments/deployment/{stack.deployment(name)['id']}")
        browser.see("At", words)
        browser.screenshot(name)


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
