"""A Prefect server and a worker of our own, everything in prefect.yaml deployed, a sample database to work on."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.core.database import Database
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, RUN_SECONDS, STOP_SECONDS = 120.0, 240.0, 30.0
PREFECT = [sys.executable, "-m", "prefect"]
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class PrefectStack:
    """What a test may ask: the API, the campaign database behind the block, a directory for reports."""

    api: httpx.Client
    campaigns: Database
    password: str
    directory: Path

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its name, which is its flow's name, too."""
        found: dict[str, Any] = self._ask("GET", f"/deployments/name/{name}/{name}")
        return found

    def run(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Trigger a deployment as the UI does, and wait for the run to end."""
        deployment = self.deployment(name)["id"]
        body = {"parameters": {"parameters": dict(parameters)}, "state": {"type": "SCHEDULED"}}
        run_id = self._ask("POST", f"/deployments/{deployment}/create_flow_run", json=body)["id"]
        return self._wait(run_id)

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

    def _wait(self, run_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            run: dict[str, Any] = self._ask("GET", f"/flow_runs/{run_id}")
            if run["state"]["type"] in FINAL:
                return run
            time.sleep(0.5)
        pytest.fail(f"the run is {run['state']['type']} after {RUN_SECONDS} s:\n{self.log(run_id)}")

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self.api.request(method, path, **arguments)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


@pytest.fixture(scope="module")
def prefect_stack() -> Iterator[PrefectStack]:
    """Server, work pool, block, deployments, worker; all gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="campaign-prefect-"))
    directory.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        postgres = stack.enter_context(PostgresServer.start(directory / "postgres"))
        campaigns = asyncio.run(_make_databases(postgres))
        environment = _environment(directory, postgres)
        server = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", environment["TEST_PORT"]]
        stack.enter_context(_running(server, environment, directory / "server.log"))
        api = stack.enter_context(httpx.Client(base_url=environment["PREFECT_API_URL"], timeout=30))
        _wait_until(lambda: _healthy(api), directory / "server.log")
        password = postgres.password.get_secret_value()
        _prefect(environment, "work-pool", "create", "campaign-migrations", "--type", "process")
        _save_block(environment, campaigns, password)
        _prefect(environment, "--no-prompt", "deploy", "--all")
        worker = [*PREFECT, "worker", "start", "--pool", "campaign-migrations"]
        stack.enter_context(_running(worker, environment, directory / "worker.log"))
        yield PrefectStack(api, campaigns, password, directory)


async def _make_databases(postgres: PostgresServer) -> Database:
    await create_database(postgres.database(), "prefect")
    campaigns = await create_database(postgres.database(), "campaigns")
    await build_sample_database(campaigns, campaigns=60, domains=6_000)
    return campaigns


def _environment(directory: Path, postgres: PostgresServer) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "PG"))}
    password = postgres.password.get_secret_value()
    return kept | {
        "TEST_PORT": port,
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
            f"postgresql+asyncpg://postgres:{password}@127.0.0.1:{postgres.port}/prefect"
        ),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONWARNINGS": "ignore",
    }


def _save_block(environment: Mapping[str, str], campaigns: Database, password: str) -> None:
    """As an operator does it in the UI; the password comes by the environment."""
    code = (
        "import os; from tasks.blocks import PostgresDatabase;"
        f"PostgresDatabase(host={campaigns.host!r}, port={campaigns.port}, database={campaigns.database!r},"
        f" user={campaigns.user!r}, password=os.environ['CAMPAIGN_PASSWORD'], tls_mode='disable').save('campaigns')"
    )
    _check([sys.executable, "-c", code], {**environment, "CAMPAIGN_PASSWORD": password})


def _prefect(environment: Mapping[str, str], *arguments: str) -> None:
    _check([*PREFECT, *arguments], environment)


def _check(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _healthy(api: httpx.Client) -> bool:
    try:
        return api.get("/health").is_success
    except httpx.TransportError:
        return False


def _wait_until(happened: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if happened():
            return
        time.sleep(0.2)
    pytest.fail(f"nothing answers after {START_SECONDS} s:\n{log.read_text()[-4000:]}")
