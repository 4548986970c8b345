"""The migration team's way: deployments on a real Prefect server, run by a real worker, asked for through the API."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

STEPS = [
    "preflight",
    "backup",
    "benchmark-inputs",
    "benchmark-before",
    "transform",
    "answers",
    "cut-over",
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
    "benchmark",
    "progress",
    "validation",
    "integration",
    "comparison",
    "comparison-table",
    "summary",
}


def test_every_deployment_is_there_with_its_schedule(prefect_stack: Any) -> None:
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


def test_a_migration_triggered_through_the_api_completes_with_its_artifacts(prefect_stack: Any) -> None:
    reports = prefect_stack.directory / "reports-migrate"

    run = prefect_stack.run(
        "migrate-to-phases", {"mode": "apply", "report_directory": str(reports), "benchmark_rounds": 5}
    )

    log = prefect_stack.log(run["id"])
    assert run["state"]["name"] == "Completed", log
    assert run["state"]["message"].startswith("Migrated: 60 campaigns and 6,000 domains"), run["state"]["message"]
    assert [task["name"] for task in prefect_stack.task_runs(run["id"])] == STEPS
    artifacts = prefect_stack.artifacts(run["id"])
    assert set(artifacts) >= ARTIFACTS
    assert "user_campaign_dashboard" in artifacts["comparison"]["data"]
    assert "core-migrations completed" in log
    report = json.loads((reports / "report.json").read_text())
    assert report["outcome"] == "succeeded"
    _assert_the_password_is_nowhere(prefect_stack, run, artifacts, log, report)

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


def _assert_the_password_is_nowhere(
    stack: Any, run: dict[str, Any], artifacts: dict[str, Any], log: str, report: dict[str, Any]
) -> None:
    for place in (run, artifacts, log, report):
        assert stack.password not in json.dumps(place)
