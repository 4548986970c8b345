"""The command line: flags from the models, values that are refused, exit codes, and what it leaves alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Completed, Failed
from pydantic import BaseModel

from tasks import shell
from tasks.arguments import parse, parse_with_database
from tasks.command_line import run_with
from tasks.core import errors
from tasks.core.demo_settings import DemoParameters
from tasks.core.settings import BenchmarkParameters, LockLimits, MigrateParameters, RollbackParameters
from tasks.core.upkeep_settings import MaintainParameters, ValidateParameters

MODELS = [
    MigrateParameters,
    RollbackParameters,
    ValidateParameters,
    BenchmarkParameters,
    MaintainParameters,
    DemoParameters,
]


def _migrate(*arguments: str) -> MigrateParameters:
    parsed = parse_with_database(MigrateParameters, arguments, module="flows.migrate", description="")
    assert parsed is not None
    return parsed[1]


def _refusal(*arguments: str) -> errors.BadInput:
    with pytest.raises(errors.BadInput) as refused:
        _migrate(*arguments)
    assert refused.value.exit_code == 2
    return refused.value


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a run puts into the environment must not reach the next test."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("model", MODELS)
def test_without_flags_every_flow_has_the_defaults_of_its_model(model: type[BaseModel]) -> None:
    assert parse(model, [], module="flows.x", description="") == model()


def test_flags_set_the_fields_of_the_model_and_of_the_models_inside_it() -> None:
    parameters = _migrate(
        "--schema", "Odd Schema", "--mode", "apply", "--on-failed-gate", "rollback", "--stop-after", "transform",
        "--report-directory", "/r", "--backup-directory", "/b", "--require-target", "--locks.lock-timeout-ms", "50",
        "--contacts.database", "Ada",
    )  # fmt: skip

    assert parameters == MigrateParameters(
        schema_name="Odd Schema",
        mode="apply",
        on_failed_gate="rollback",
        stop_after="transform",
        report_directory=Path("/r"),
        backup_directory=Path("/b"),
        require_target=True,
        locks=LockLimits(lock_timeout_ms=50),
        contacts={"database": "Ada"},
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--map-status", "on hold=paused", "--map-status", "v1.done=completed"],
        ["--map-status=on hold=paused", "--map-status=v1.done=completed"],
    ],
)
def test_unknown_values_are_mapped_by_pairs_whatever_characters_they_hold(arguments: list[str]) -> None:
    assert _migrate(*arguments).map_status == {"on hold": "paused", "v1.done": "completed"}


def test_a_mapping_can_be_given_with_a_dot_too() -> None:
    assert _migrate("--map-campaign-type.bulk=generation").map_campaign_type == {"bulk": "generation"}


@pytest.mark.parametrize(
    ("arguments", "flag", "value"),
    [
        (["--mode", "now"], "--mode", "now"),
        (["--batch-ms", "1"], "--batch-ms", "1"),
        (["--map-status", "on hold=asleep"], "--map-status.on hold", "asleep"),
        (["--map-status", "paused"], "--map-status", "paused"),
        (["--locks.lock-timeout-ms", "x"], "--locks.lock-timeout-ms", "x"),
    ],
)
def test_a_wrong_value_is_refused_with_its_flag_and_the_value(arguments: list[str], flag: str, value: str) -> None:
    refused = _refusal(*arguments)

    assert (refused.fields["name"], refused.fields["value"]) == (flag, value)


def test_an_unknown_flag_is_refused_with_the_nearest_one() -> None:
    assert "--mode" in str(_refusal("--mod", "plan"))


@pytest.mark.parametrize("model", MODELS)
def test_the_help_names_every_field_and_every_exit_code(
    model: type[BaseModel], capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse(model, ["--help"], module="flows.x", description="What it is for.") is None

    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "What it is for." in text
    for field in model.model_fields:
        flag = "schema" if field == "schema_name" else field.replace("_", "-")
        assert f"--{flag}" in text
    assert "Exit codes: 0 the outcome is what was asked for" in text


class _NoFlow:
    """Stands in for a flow that must not be reached."""

    name = "never"

    @staticmethod
    def fn() -> None:
        """Never run."""


def _run(arguments: list[str]) -> int:
    no_flow: Any = _NoFlow()
    return run_with(no_flow, MigrateParameters, arguments, module="flows.migrate")


def test_a_password_in_the_url_is_refused_without_repeating_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["--database-url", "postgresql://app:hunter2@127.0.0.1/campaigns"]) == 2

    written = capsys.readouterr()
    assert "--database-url holds a password" in written.err
    assert "hunter2" not in written.err + written.out


def test_without_a_database_the_message_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run([]) == 2

    assert "CAMPAIGN_DATABASE_URL" in capsys.readouterr().err


def test_a_report_directory_that_cannot_be_written_to_stops_the_run_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")

    code = _run(
        ["--database-url", "postgresql://a@127.0.0.1:1/b", "--report-directory", str(tmp_path / "file" / "reports")]
    )

    assert code == errors.DirectoryUnusable.exit_code
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.BadInput(name="a", value="b", reason="c", remedy="d"), 2),
        (errors.AnotherRunIsActive(database="a", schema="b", holder="c"), 6),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 70),
    ],
)
def test_what_stops_a_program_has_an_exit_code(
    raised: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def begin() -> int:
        raise raised

    assert shell.guarded(begin) == code
    traceback_shown = "Traceback" in capsys.readouterr().err
    assert traceback_shown == (code == 70)


def test_a_completed_run_ends_with_0_and_a_failed_one_with_the_code_of_its_error() -> None:
    async def never() -> Any:
        raise AssertionError("prepared states end the run")

    missed = errors.TargetMissed(improvement=1.0, target=40.0, verdict="not met")

    assert shell.execute(never, prepare=lambda _: Completed(message="done", data="succeeded")) == 0
    assert shell.execute(never, prepare=lambda _: Failed(message="missed", data=missed)) == 7


def test_quiet_settings_are_for_those_that_the_user_has_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
    before = dict(os.environ)

    with shell.shell_settings():
        assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "true"
        assert os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"] == "tasks"

    assert dict(os.environ) == before
