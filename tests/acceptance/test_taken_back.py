"""With --on-failed-gate rollback a failure at any gate ends in the exact legacy database, and the run says so."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tasks import benchmark
from tasks.blocks import PostgresDatabase
from tasks.core import errors
from tasks.core.database import Database
from tasks.core.settings import MigrateParameters
from tests.chain import Chain, difference, differences

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prefect_harness")]

story = importlib.import_module("flows.migrate")
FAILED = errors.GateFailed(gate="planted", reason="1 of 1 failed", state="as planted", remedy="It was planted.")
# Where a run may fail once it has begun to change something: the module, the step, what it raises after its work.
GATES: dict[str, tuple[Any, str, Exception]] = {
    "backup": (
        story, "make_backup", errors.BackupFailed(directory="here", reason="the disk is full", remedy="Make room.")
    ),
    "transform": (
        story, "transform_data", errors.StepFailed(step="transform", sqlstate="23514", reason="planted", remedy="None.")
    ),
    "answers": (benchmark, "compare_answers", FAILED),
    "cut-over": (story, "hold_cut_over", errors.LegacyStatementsSeen(count=1, hours=1.0, examples="SELECT status")),
    "core migrations": (
        story, "run_core_migrations", errors.StepFailed(step="000036", sqlstate="53100", reason="planted", remedy="None.")
    ),
    "validation": (story, "validate_database", FAILED),
    "comparison": (benchmark, "compare", FAILED),
    "integration test": (story, "run_integration", FAILED),
    "target": (benchmark, "require_target", errors.TargetMissed(target=40.0, verdict="not_met", improvement=1.0)),
}  # fmt: skip


@pytest.mark.parametrize(
    "gate", [name if name == "integration test" else pytest.param(name, marks=pytest.mark.large) for name in GATES]
)
async def test_a_failure_at_a_gate_ends_in_the_exact_legacy_database(
    legacy_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: str
) -> None:
    """Everything that changes the database is real; times are taken only where the gate is about them."""
    chain = Chain(legacy_database)
    schema, rows = chain.dump(), await chain.checksums()
    module, name, error = GATES[gate]
    real = getattr(module, name)

    async def then_fail(*given: Any) -> None:
        await real(*given)
        raise error

    def fail(*_given: Any) -> None:
        raise error

    async def left_out(*_given: Any) -> None:
        """Measures nothing."""

    if gate != "comparison":
        for step in ("measure_before", "measure_after", "compare"):
            monkeypatch.setattr(benchmark, step, left_out)
    monkeypatch.setattr(module, name, fail if name == "require_target" else then_fail)
    block = PostgresDatabase(**_fields(legacy_database))
    parameters = MigrateParameters(
        mode="apply",
        on_failed_gate="rollback",
        accept_legacy_statements=True,
        benchmark_rounds=5,
        clone_limit_gb=0,
        report_directory=tmp_path,
    )
    state = await story.migrate(block, parameters, return_state=True)
    taken_back = await state.aresult(raise_on_failure=False)
    assert isinstance(taken_back, errors.TakenBack), taken_back
    assert str(error).split(".")[0] in str(taken_back)
    assert "as it was: legacy columns only" in str(taken_back)
    assert json.loads((tmp_path / "report.json").read_text())["outcome"] == "rolled_back"
    assert difference(chain.dump(), schema) == []
    assert differences(await chain.checksums(), rows) == {}


def _fields(database: Database) -> dict[str, Any]:
    return {
        "host": database.host, "port": database.port, "database": database.database, "user": database.user,
        "password": database.password, "tls_mode": database.tls_mode,
    }  # fmt: skip
