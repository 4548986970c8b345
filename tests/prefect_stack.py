"""A Prefect server and a worker of our own, everything in prefect.yaml deployed, a sample database to work on."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.stack import Stack, local_stack
from tasks.core.client_binaries import find_client_binary
from tasks.core.database import Database, connect

RUN_SECONDS = 240.0
FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


@dataclass(frozen=True)
class PrefectStack:
    """What a test may ask: the API, the campaign database behind the block, a directory for reports."""

    api: httpx.Client
    campaigns: Database
    password: str
    directory: Path
    running: Stack
    workers: ExitStack

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its name, which is its flow's name, too."""
        found: dict[str, Any] = self._ask("GET", f"/deployments/name/{name}/{name}")
        return found

    def begin(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Trigger a deployment as the UI does. Returns the run's id."""
        deployment = self.deployment(name)["id"]
        body = {"parameters": {"parameters": dict(parameters)}, "state": {"type": "SCHEDULED"}}
        return str(self._ask("POST", f"/deployments/{deployment}/create_flow_run", json=body)["id"])

    def run(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Trigger a deployment as the UI does, and wait for the run to end."""
        return self.wait(self.begin(name, parameters))

    def resume(self, run_id: str, decision: Mapping[str, str]) -> dict[str, Any]:
        """Answer a run that awaits approval. Returns what the server says to it."""
        answer: dict[str, Any] = self._ask("POST", f"/flow_runs/{run_id}/resume", json={"run_input": dict(decision)})
        return answer

    def retry(self, run_id: str) -> None:
        """Run a run that has ended once more, as its page does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        assert self._ask("POST", f"/flow_runs/{run_id}/set_state", json={"state": state})["status"] == "ACCEPT"

    def change_worker(self) -> None:
        """Stop the worker, and then start another one."""
        self.workers.close()
        self.workers.enter_context(self.running.worker())

    def runs(self, name: str) -> set[str]:
        """The ids of all runs of a deployment."""
        body = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}}
        return {run["id"] for run in self._ask("POST", "/flow_runs/filter", json=body)}

    def new_run(self, name: str, earlier: Collection[str]) -> str:
        """The id of a run of a deployment that is none of these, once it is there."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            if found := self.runs(name) - set(earlier):
                return found.pop()
            time.sleep(0.3)
        pytest.fail(f"nobody has started {name}")

    def state(self, run_id: str) -> dict[str, Any]:
        """The state of a run."""
        found: dict[str, Any] = self._ask("GET", f"/flow_runs/{run_id}")["state"]
        return found

    def prefect_database(self) -> str:
        """All that Prefect remembers, as SQL."""
        database = self.campaigns.model_copy(update={"database": "prefect"})
        dumped = subprocess.run(
            [str(find_client_binary("pg_dump", 18)), "--inserts"],
            env=database.client_environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return dumped.stdout

    def sessions_left(self) -> int:
        """How many sessions of ours the campaign database has."""

        async def count() -> int:
            async with connect(self.campaigns, settings={"application_name": "a test"}) as connection:
                found: int = await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
                return found

        return asyncio.run(count())

    def task_runs(self, run_id: str) -> list[dict[str, Any]]:
        """The task runs of a run, in the order in which they began."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found: list[dict[str, Any]] = self._ask("POST", "/task_runs/filter", json=body)
        return found

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """The latest artifact of a run under each key."""
        body = {"artifacts": {"flow_run_id": {"any_": [run_id]}}, "limit": 200}
        found = self._ask("POST", "/artifacts/filter", json=body)
        return {artifact["key"]: artifact for artifact in sorted(found, key=lambda one: one["created"])}

    def log(self, run_id: str) -> str:
        """The run's log, as its page shows it."""
        body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self._ask("POST", "/logs/filter", json=body))

    def wait(self, run_id: str, states: Collection[str] = FINAL) -> dict[str, Any]:
        """Wait until a run is in one of these states, by type or name."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            run: dict[str, Any] = self._ask("GET", f"/flow_runs/{run_id}")
            if {run["state"]["type"], run["state"]["name"]} & set(states):
                return run
            time.sleep(0.5)
        pytest.fail(f"the run is {run['state']['type']} after {RUN_SECONDS} s:\n{self.log(run_id)}")

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self.api.request(method, path, **arguments)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


@contextmanager
def started_stack() -> Iterator[PrefectStack]:
    """Server, work pool, block, deployments, worker: as `python -m deployments.local` starts them, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="campaign-prefect-"))
    directory.chmod(0o755)
    settings = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PYTHONWARNINGS": "ignore"}
    with local_stack(directory, campaigns=60, domains=6_000, settings=settings, tell=lambda _: None) as stack:
        with ExitStack() as workers, httpx.Client(base_url=stack.api_url, timeout=30) as api:
            workers.enter_context(stack.worker())
            password = stack.campaigns.password
            assert password is not None
            yield PrefectStack(api, stack.campaigns, password.get_secret_value(), directory, stack, workers)
