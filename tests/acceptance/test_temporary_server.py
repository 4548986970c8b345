"""The Prefect server of a run from a shell that names none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
HOLD_IT = """
import sys
from tasks.prefect_server import start_temporary_server
print(start_temporary_server(), flush=True)
sys.stdin.read()
"""


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=30).is_success
    except httpx.TransportError:
        return False


def test_the_temporary_server_ends_with_its_run_even_if_that_is_killed(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    run = subprocess.Popen(
        [sys.executable, "-c", HOLD_IT],
        cwd=ROOT,
        env={**kept, "PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    url = run.stdout.readline().strip()
    assert _answers(url)

    run.kill()
    run.wait(60)
    run.stdout.close()
    run.stdin.close()

    deadline = time.monotonic() + 30
    while _answers(url) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _answers(url)
