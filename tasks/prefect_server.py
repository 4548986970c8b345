"""A temporary Prefect server for runs from a shell, where the settings name none.

Prefect starts the like of it by itself, but loads the whole server into the process that runs the flow, too (70 MB), and leaves
both within reach of the terminal's Ctrl-C, while a cancelled run still needs its server to end. As a program, this module
is that server: `python -m tasks.prefect_server PORT`. Its standard input is a pipe from the run: when the run is gone,
however it went, so is the server.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

from tasks.core import errors

HOST = "127.0.0.1"
POLL_SECONDS = 0.1
STOP_SECONDS = 5.0
# What Prefect gives the temporary server of its own.
EPHEMERAL = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


def start_temporary_server() -> str:
    """Start a server that ends with this process.

    Returns:
        The URL of its API.

    Raises:
        PrefectNotStarted: if it ends at once or does not answer in time; what it said stands on stderr.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    url = f"http://{HOST}:{port}/api"
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(port)],
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, **EPHEMERAL},  # it reads the user's profile itself
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for the run alone
    )
    # Prefect's own last lines, logs and events, are sent when the interpreter ends: what is registered later runs earlier.
    atexit.register(_stop, process)
    deadline = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    with httpx.Client(trust_env=False) as client:  # no proxy is asked for this machine's own address
        while not _answers(client, url):
            if process.poll() is not None or time.monotonic() > deadline:
                reason = (
                    "it does not answer in time" if process.poll() is None else f"it ended with {process.returncode}"
                )
                _stop(process)
                raise errors.PrefectNotStarted(reason=reason)
            time.sleep(POLL_SECONDS)
    return url


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _serve(port: int) -> None:
    def end_with_the_run() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    import uvicorn  # noqa: PLC0415 - the run itself, which imports this module, needs none

    threading.Thread(target=end_with_the_run, daemon=True).start()
    application = "prefect.server.api.server:create_app"
    uvicorn.run(application, factory=True, host=HOST, port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
