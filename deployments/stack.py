"""A Prefect server with a worker and a sample database of its own, on this machine alone: the local stack, and the tests'."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tasks.core.database import Database
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import PostgresServer

ROOT = Path(__file__).resolve().parents[1]
PREFECT = [sys.executable, "-m", "prefect"]
POOL, QUEUE, BLOCK = "campaign-migrations", "campaigns", "campaigns"
START_SECONDS, STOP_SECONDS, SWEEP_SECONDS = 120.0, 20.0, 5.0
LOG_SHOWN = 4000  # characters of a log, where something did not start
Tell = Callable[[str], None]


class StackFailed(Exception):
    """A part of the stack did not start; the message has its words."""


@dataclass(frozen=True)
class Stack:
    """What runs.

    Attributes:
        ui_url: of the Prefect UI.
        api_url: of its API.
        campaigns: the sample database behind the block postgres-database/campaigns.
        directory: holds everything: logs, reports, Prefect's home, the database server.
        environment: of a command that talks to this server.
    """

    ui_url: str
    api_url: str
    campaigns: Database
    directory: Path
    environment: Mapping[str, str]

    @contextmanager
    def worker(self, log: str = "worker.log") -> Iterator[int]:
        """Run a worker for the pool while the body runs.

        Yields:
            Its process id.
        """
        command = [*PREFECT, "worker", "start", "--pool", POOL]
        with _running(command, self.environment, self.directory / log) as process:
            yield process.pid


@contextmanager
def local_stack(
    directory: Path,
    *,
    port: int = 0,
    campaigns: int = 2000,
    domains: int = 200_000,
    settings: Mapping[str, str] | None = None,
    tell: Tell = print,
) -> Iterator[Stack]:
    """Start everything, stop everything at the end, and remove the directory.

    Args:
        directory: empty or absent, and open to every user where this runs as root, as PostgreSQL does not run as root.
        port: of the UI on 127.0.0.1; 0 takes a free one.
        campaigns: of the sample database.
        domains: of the sample database.
        settings: environment variables on top, such as Prefect's settings.
        tell: is told what is being started.

    Raises:
        StackFailed: the directory is in use, the port is taken; or with the words of what did not start.
        ServerStartFailed: the same, for PostgreSQL.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        message = f"The directory {directory} is not empty, and would be removed at the end. Name another one."
        raise StackFailed(message)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        port = _free_port(port)
        tell("PostgreSQL, for Prefect and for the sample ...")
        postgres = stack.enter_context(PostgresServer.start(directory / "postgres"))
        asyncio.run(create_database(postgres.database(), "prefect"))
        environment = _environment(directory, port, settings or {})
        tell("the Prefect server and, while it starts, the sample ...")
        api_url, log = environment["PREFECT_API_URL"], directory / "server.log"
        server = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        of_the_server = {**environment, **_server_environment(postgres, api_url)}
        server_process = stack.enter_context(_running(server, of_the_server, log))
        sample = asyncio.run(_make_sample(postgres, campaigns, domains))
        _wait_until_healthy(api_url, server_process, log)
        tell("the work pool, the block, the deployments ...")
        _run([sys.executable, "-m", "deployments.register"], {**environment, **_sample_environment(sample)})
        _run([*PREFECT, "--no-prompt", "deploy", "--all"], environment)
        yield Stack(f"http://127.0.0.1:{port}", api_url, sample, directory, environment)


async def _make_sample(postgres: PostgresServer, campaigns: int, domains: int) -> Database:
    sample = await create_database(postgres.database(), "campaigns")
    await build_sample_database(sample, campaigns=campaigns, domains=domains)
    return sample


def _environment(directory: Path, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what it is set to itself: neither another server nor another database."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT", "PG")) and name != "CAMPAIGN_DATABASE_URL"
    }
    return {
        **kept,
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "DO_NOT_TRACK": "1",
        **settings,
    }


def _server_environment(postgres: PostgresServer, api_url: str) -> dict[str, str]:
    """What only the server may know: the password of its own database, and the key of the secrets in it."""
    password = postgres.password.get_secret_value()
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
            f"postgresql+asyncpg://postgres:{password}@127.0.0.1:{postgres.port}/prefect"
        ),
        "PREFECT_SERVER_ENCRYPTION_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "PREFECT_SERVER_UI_API_URL": api_url,  # what the browser asks
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def _sample_environment(sample: Database) -> dict[str, str]:
    assert sample.password is not None
    return {
        "CAMPAIGN_DATABASE_URL": (
            f"postgresql://{sample.user}:{sample.password.get_secret_value()}@{sample.host}:{sample.port}"
            f"/{sample.database}?sslmode={sample.tls_mode}"
        )
    }


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise StackFailed(f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, so that Ctrl-C is for us alone; at the end it goes with all its children."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _sweep(process.pid)


def _sweep(group: int) -> None:
    """End what a program has left in its process group: runs that were at work, say."""
    deadline = time.monotonic() + SWEEP_SECONDS
    order = signal.SIGTERM
    while True:
        try:
            os.killpg(group, order)
        except ProcessLookupError:
            return
        if time.monotonic() > deadline:
            order = signal.SIGKILL
        time.sleep(0.1)


def _wait_until_healthy(api_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ask = build_opener(ProxyHandler({})).open  # a proxy of the company's knows nothing of this machine's own address
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with ask(f"{api_url}/health", timeout=5) as answer:
                if answer.status == 200:  # noqa: PLR2004 - OK
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    raise StackFailed(f"The Prefect server does not answer:\n{log.read_text(errors='replace')[-LOG_SHOWN:]}")


def _free_port(wanted: int) -> int:
    """This port, or for 0 any. What stands on a port already might be another Prefect server, and would answer for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was stopped a moment ago is free
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            message = f"Port {wanted} on 127.0.0.1 cannot be used ({error.strerror}). Name another one with --port."
            raise StackFailed(message) from error
        port: int = probe.getsockname()[1]
        return port
