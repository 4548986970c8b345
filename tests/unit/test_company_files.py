"""What a company takes from deployments/: files that parse, and that Prefect's own models accept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import postgast
import pytest
import yaml
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.utilities.templating import find_placeholders

from deployments.automate import EXPIRY, HEARTBEAT, NOTIFICATIONS, read_automations
from deployments.register import POOL, QUEUE

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
DOCKERFILE = (DEPLOYMENTS / "Dockerfile").read_text()
CONSTRAINTS = dict(line.split("==") for line in (DEPLOYMENTS / "constraints.txt").read_text().split())
TEMPLATES = {path.stem: json.loads(path.read_text()) for path in sorted((DEPLOYMENTS / "work-pools").glob("*.json"))}
PREFECT_YAML = yaml.safe_load((DEPLOYMENTS.parent / "prefect.yaml").read_text())


def test_the_compose_file_starts_a_server_on_postgresql_with_redis_messaging_and_a_worker() -> None:
    services = COMPOSE["services"]

    assert set(services) == {"postgres", "redis", "upgrade", "server", "services", "worker"}
    server = services["server"]["environment"]
    assert server["PREFECT_SERVER_DATABASE_CONNECTION_URL"].startswith("postgresql+asyncpg://")
    assert server["PREFECT_MESSAGING_BROKER"] == "prefect_redis.messaging"
    assert services["worker"]["build"]["dockerfile"] == "deployments/Dockerfile"
    for name, service in services.items():
        assert not set(service.get("depends_on", [])) - set(services), name
        assert ":" in service["image"] or "build" in service, f"{name} has no version"


def test_the_compose_file_holds_no_password_and_opens_nothing_but_the_ui_on_this_machine() -> None:
    secrets = {"PREFECT_DATABASE_PASSWORD", "PREFECT_ENCRYPTION_KEY", "PREFECT_AUTH"}
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]

    assert ports == ["127.0.0.1:4200:4200"]
    text = (DEPLOYMENTS / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == secrets
    assert not re.findall(r"\$\{\w+\}", text), "a variable that may be empty"


def test_the_image_has_the_same_prefect_as_the_server_and_the_constraints() -> None:
    assert COMPOSE["x-prefect"]["image"].split(":")[1].startswith(f"{CONSTRAINTS['prefect']}-")
    assert "-c deployments/constraints.txt" in DOCKERFILE
    assert re.search(r"^USER (?!root)", DOCKERFILE, re.MULTILINE)
    assert f'"--pool", "{POOL}"' in DOCKERFILE


@pytest.mark.parametrize("name", ["docker", "kubernetes"])
def test_a_work_pool_template_defines_every_variable_that_it_uses(name: str) -> None:
    template = TEMPLATES[name]

    used = {placeholder.name for placeholder in find_placeholders(template["job_configuration"])}
    assert used <= set(template["variables"]["properties"])
    defaults = {key: field.get("default") for key, field in template["variables"]["properties"].items()}
    assert defaults["image"] == "campaign-phases-migration:latest"
    wanted = PREFECT_YAML["definitions"]["work_pool"]["job_variables"]["env"]
    assert wanted.items() <= defaults["env"].items()


def test_a_job_on_kubernetes_keeps_its_backup_and_has_no_privileges() -> None:
    pod = TEMPLATES["kubernetes"]["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/reports"
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "{{ reports_claim }}"


def test_a_run_without_heartbeats_is_called_crashed_within_90_seconds() -> None:
    (automation,) = read_automations(HEARTBEAT)

    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.posture is Posture.Proactive
    assert trigger.within.total_seconds() == 90
    assert trigger.after == {"prefect.flow-run.heartbeat"}
    assert {"prefect.flow-run.heartbeat", "prefect.flow-run.Completed", "prefect.flow-run.Suspended"} <= trigger.expect
    every = PREFECT_YAML["definitions"]["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
    assert trigger.within.total_seconds() >= 3 * int(every)
    (action,) = automation.actions
    assert action.model_dump(mode="json")["state"] == "CRASHED"


def test_a_run_that_nobody_has_approved_in_time_says_what_became_of_the_database() -> None:
    (automation,) = read_automations(EXPIRY)

    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    assert "The flow was * and never resumed." in trigger.model_dump_json()
    (action,) = automation.actions
    expired = action.model_dump(mode="json")
    assert (expired["state"], expired["name"]) == ("FAILED", "Expired")
    assert "Both models are live" in expired["message"]
    telling = read_automations(NOTIFICATIONS)[0].trigger  # once, with this message instead of Prefect's
    assert isinstance(telling, EventTrigger)
    assert "prefect.flow-run.Expired" in telling.expect
    assert "!The flow was * and never resumed." in telling.model_dump_json()


def test_failed_crashed_and_waiting_runs_are_told_to_a_notification_block() -> None:
    told: set[str] = set()
    for automation in read_automations(NOTIFICATIONS):
        assert isinstance(automation.trigger, EventTrigger)
        told |= automation.trigger.expect
        assert [action.type for action in automation.actions] == ["send-notification"]
    assert told >= {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.Suspended"}


def test_the_automations_look_at_what_prefect_yaml_deploys() -> None:
    for automation in [one for path in (HEARTBEAT, EXPIRY, NOTIFICATIONS) for one in read_automations(path)]:
        assert isinstance(automation.trigger, EventTrigger)
        assert "prefect.tag.campaigns" in automation.trigger.model_dump_json()
    assert all("campaigns" in deployment["tags"] for deployment in PREFECT_YAML["deployments"])
    pool = PREFECT_YAML["definitions"]["work_pool"]
    assert (pool["name"], pool["work_queue_name"]) == (POOL, QUEUE)


def test_the_role_is_sql_that_gives_no_more_than_it_says() -> None:
    text = (DEPLOYMENTS / "migrator-role.sql").read_text()

    postgast.parse(text)
    assert "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS" in text
    assert "PASSWORD '" not in text
