"""prefect.yaml: Prefect ignores what it does not know in silence, so a typing error would go unnoticed."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from pydantic import BaseModel

from tasks.core.settings import Parameters

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
TEXT = FILE.read_text(encoding="utf-8")
CONTENT: dict[str, Any] = yaml.safe_load(TEXT)
DEPLOYMENTS: dict[str, dict[str, Any]] = {one["name"]: one for one in CONTENT["deployments"]}
SCHEDULED = {"validate-phases": "monthly", "benchmark-phases": "quarterly", "maintain-phases-indexes": "weekly"}

each_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)


def _known(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def _flow(name: str) -> Flow[Any, Any]:
    module, _, attribute = DEPLOYMENTS[name]["entrypoint"].rpartition(".")
    flow = getattr(import_module(module), attribute)
    assert isinstance(flow, Flow)
    return flow


def test_there_are_the_five_deployments() -> None:
    assert set(DEPLOYMENTS) == {"migrate-to-phases", "rollback-phases", *SCHEDULED}


def test_the_file_has_no_key_that_prefect_ignores() -> None:
    assert set(CONTENT) - {"definitions"} <= _known(PrefectYamlModel)


@each_deployment
def test_a_deployment_has_no_key_that_prefect_ignores(name: str) -> None:
    deployment = DEPLOYMENTS[name]

    assert set(deployment) <= _known(DeploymentConfig)
    assert set(deployment["work_pool"]) <= _known(WorkPoolConfig)
    assert set(deployment["concurrency_limit"]) <= _known(ConcurrencyLimitSpec)
    for schedule in deployment.get("schedules", []):
        assert set(schedule) <= _known(RawScheduleConfig)


@each_deployment
def test_a_deployment_bears_the_name_of_its_flow(name: str) -> None:
    assert _flow(name).name == name


@each_deployment
def test_the_parameters_of_a_deployment_are_those_of_its_flow(name: str) -> None:
    assert set(DEPLOYMENTS[name]["parameters"]) <= set(inspect.signature(_flow(name).fn).parameters)


@each_deployment
def test_the_form_of_a_deployment_explains_every_field(name: str) -> None:
    model = inspect.signature(_flow(name).fn).parameters["parameters"].annotation

    assert issubclass(model, Parameters)
    schema = _flow(name).parameters.model_dump()
    assert schema["required"] == ["database"]
    definitions = schema["definitions"]
    for definition in definitions.values():
        for field, described in definition.get("properties", {}).items():
            # A field that says the same as the model it refers to leaves it to that one.
            referred = definitions.get(described.get("$ref", "").rpartition("/")[2], {})
            assert described.get("description") or referred.get("description"), f"{definition['title']}.{field}"


def test_the_form_asks_first_what_an_operator_decides_each_time() -> None:
    schema = _flow("migrate-to-phases").parameters.model_dump()
    fields = schema["definitions"]["MigrateParameters"]["properties"]

    ordered = sorted(fields, key=lambda name: fields[name]["position"])
    assert ordered[:4] == ["mode", "stop_after", "require_approval", "approve"]
    assert sorted(fields[name]["position"] for name in fields) == list(range(len(fields)))


@each_deployment
def test_the_database_is_referred_to_by_its_slug_so_that_no_password_is_copied(name: str) -> None:
    assert DEPLOYMENTS[name]["parameters"]["database"] == {
        "$ref": {"block_document_slug": "postgres-database/campaigns"}
    }
    assert "{{" not in TEXT


@each_deployment
def test_a_second_run_does_not_start_beside_the_first(name: str) -> None:
    limit = DEPLOYMENTS[name]["concurrency_limit"]

    assert limit["limit"] == 1
    assert limit["collision_strategy"] in {strategy.value for strategy in ConcurrencyLimitStrategy}


@pytest.mark.parametrize(("name", "slug"), SCHEDULED.items())
def test_a_scheduled_deployment_has_one_active_schedule_with_a_time_zone(name: str, slug: str) -> None:
    (schedule,) = DEPLOYMENTS[name]["schedules"]

    assert schedule["slug"] == slug
    assert schedule["active"] is True
    model = inspect.signature(_flow(name).fn).parameters["parameters"].annotation
    assert model(**schedule["parameters"]["parameters"]) == model()
    CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    minute, hour, *_ = schedule["cron"].split()
    assert 0 <= int(hour) < 6, "at night"
    assert minute.isdigit()
    # The page of a deployment shows neither the name nor the time zone of a schedule; its description does.
    when = f"at {int(hour):02}:{int(minute):02} {schedule['timezone']}: "
    assert DEPLOYMENTS[name]["description"].startswith(f"{slug.capitalize()}, on ")
    assert when in DEPLOYMENTS[name]["description"]


@pytest.mark.parametrize("name", ["migrate-to-phases", "rollback-phases"])
def test_what_changes_a_database_runs_only_when_somebody_asks(name: str) -> None:
    assert "schedules" not in DEPLOYMENTS[name]
    mode = inspect.signature(_flow(name).fn).parameters["parameters"].annotation.model_fields["mode"]
    assert "plan" in get_args(mode.annotation)
    assert mode.default == "plan"
