"""The one command that a new user pastes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(500)]

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--campaigns", "100", "--domains", "5000"]
SECONDS = 400.0  # a minute on a quiet machine
CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Holds what the demo makes: its server's directory and its reports. Open, as the server's user may be another."""
    with tempfile.TemporaryDirectory(prefix="campaign-demo-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "servers").mkdir(mode=0o755)
        yield path


@pytest.fixture(scope="module")
def prefect_home() -> Iterator[Path]:
    """Prefect's own directory, as a user has one: to make the database in it takes longer than to start on it."""
    with tempfile.TemporaryDirectory(prefix="campaign-demo-home-") as name:
        yield Path(name)


def _environment(directory: Path, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    return {**kept, "TMPDIR": str(directory / "servers"), "PREFECT_HOME": str(home), "TERM": "xterm"}


def _command(directory: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "flows.demo", *SMALL, "--report-directory", str(directory / "reports"), *flags]


def _demo(directory: Path, home: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(directory, *flags),
        cwd=ROOT,
        env=_environment(directory, home),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )


def _processes_below(directory: Path) -> list[str]:
    """Processes that work in this directory: it stands in their command line or in their environment."""
    listed = subprocess.run(["ps", "axeww", "-o", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(directory) in line]


def test_the_demo_ends_with_the_comparison_the_reports_and_no_server(
    directory: Path, prefect_home: Path, private_binaries: Path | None
) -> None:
    done = _demo(directory, prefect_home, *(["--postgres-bin", str(private_binaries)] if private_binaries else []))

    assert done.returncode == 0, done.stdout + done.stderr
    for expected in (
        "sample-database completed",
        "Before and after",
        "user_campaign_dashboard",
        "Migrated: 100 campaigns",
    ):
        assert expected in done.stdout
    assert str(directory / "reports" / "report.html") in done.stdout
    assert done.stderr == ""
    report = json.loads((directory / "reports" / "report.json").read_text())
    assert report["outcome"] == "succeeded"
    assert report["database"]["server_version"].startswith("15." if private_binaries else "18.")
    assert [step["state"] for step in report["steps"]] == ["completed"] * len(report["steps"])
    warnings = {finding["code"]: finding["message"] for finding in report["preflight"]["warnings"]}
    assert "public.campaign_api" in warnings["dependents-moved"]
    assert "idx_campaigns_workflow_primary" in json.dumps(report["preflight"]["warnings"])
    assert report["peak_rss_mb"] < 300
    assert list((directory / "servers").iterdir()) == []
    assert _processes_below(directory) == []


def test_a_plain_sample_has_no_dependents_and_a_kept_server_answers_until_it_is_stopped(
    directory: Path, prefect_home: Path
) -> None:
    done = _demo(directory, prefect_home, "--profile", "plain", "--keep")

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((directory / "reports" / "report.json").read_text())
    assert report["outcome"] == "succeeded"
    assert "dependents-moved" not in {finding["code"] for finding in report["preflight"]["warnings"]}
    stop = re.search(r"remove \S+: (kill \d+)", done.stdout)
    assert stop is not None
    assert len(_processes_below(directory)) > 0
    subprocess.run(stop.group(1).split(), check=True)
    assert _wait_for_nothing(directory)


@pytest.mark.parametrize(
    "moment",
    [
        "prefect-server",
        pytest.param("sample-database", marks=pytest.mark.large),
        pytest.param("benchmark-before", marks=pytest.mark.large),
        "core-migrations",
    ],
)
def test_ctrl_c_stops_the_server_and_leaves_nothing_running(directory: Path, prefect_home: Path, moment: str) -> None:
    # Struck while it makes its database, Prefect leaves what no other test should find.
    home = directory / "prefect" if moment == "prefect-server" else prefect_home
    code, screen = _interrupted(directory, home, moment)

    assert code == 130, screen
    assert "Interrupted." in screen
    assert "Traceback" not in screen
    assert _wait_for_nothing(directory)
    assert list((directory / "servers").iterdir()) == []
    if moment in {"benchmark-before", "core-migrations"}:
        assert json.loads((directory / "reports" / "report.json").read_text())["outcome"] == "cancelled"


def _interrupted(directory: Path, home: Path, moment: str) -> tuple[int, str]:
    """Run the demo in a terminal and press Ctrl-C when it shows this step."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execvpe(sys.executable, _command(directory, "--profile", "plain"), _environment(directory, home))  # noqa: S606 - in the terminal's child
    screen, pressed, deadline = b"", False, time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the terminal is gone, and the program with it
            break
        if not read:
            break
        screen += read
        if not pressed and moment.encode() in screen:
            os.write(terminal, b"\x03")
            pressed = True
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), CONTROL.sub(b"", screen).decode(errors="replace")


def _wait_for_nothing(directory: Path) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not _processes_below(directory):
            return True
        time.sleep(0.2)
    return False
