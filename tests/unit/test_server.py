from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tasks.core import errors
from tasks.core.client_binaries import find_client_binary
from tasks.core.database import connect
from tasks.core.server import PostgresServer, start_server
from tasks.core.server_installation import embedded_bin_directory

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
# What an owner of a server does; it tells where the server is and waits for what comes.
OWNER = """
import json, sys, time
from pathlib import Path
from tasks.core.server import PostgresServer
with PostgresServer.start(Path(sys.argv[1])) as server:
    print(json.dumps([server.port, (server.data_directory / "postmaster.pid").read_text().split()[0]]), flush=True)
    time.sleep(60)
"""


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until(happened: object, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if callable(happened) and happened():
            return True
        time.sleep(0.05)
    return False


def _start_owner(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _server_of(owner: subprocess.Popen[str]) -> int:
    assert owner.stdout is not None
    _, process_id = json.loads(owner.stdout.readline())
    return int(process_id)


@pytest.fixture(params=[None, DEBIAN_15], ids=["embedded", "debian15"])
def bin_directory(request: pytest.FixtureRequest) -> Path | None:
    directory: Path | None = request.param
    if directory is not None and not directory.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("needs postgresql-15, which .ci/run installs")
        pytest.skip("needs postgresql-15 (apt-get install postgresql-15); .ci/run has it")
    return directory


async def test_a_server_answers_with_its_password_and_leaves_nothing_behind(
    server_directory: Path, bin_directory: Path | None
) -> None:
    with await start_server(server_directory, bin_directory=bin_directory, settings={"work_mem": "17MB"}) as server:
        async with connect(server.database()) as connection:
            assert await connection.fetchval("SHOW work_mem") == "17MB"
            assert await connection.fetchval("SHOW server_version_num") == str(
                server.major * 10000 + int(server.version.split(".")[1])
            )
            assert await connection.fetchval("SHOW shared_preload_libraries") == "pg_stat_statements"
            process_id = await connection.fetchval("SELECT pg_backend_pid()")
        assert oct(server.passfile.stat().st_mode & 0o777) == "0o600"
        by_passfile = server.database().model_copy(update={"password": None, "passfile": server.passfile})
        async with connect(by_passfile) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(errors.LoginRefused):
            async with connect(server.database(password="wrong")):
                pass
        assert server.password.get_secret_value() not in server.url("x")

    assert not server_directory.exists()
    assert not _alive(process_id)


async def test_a_crashed_server_comes_back_with_what_was_committed(server_directory: Path) -> None:
    with PostgresServer.start(server_directory) as server:
        async with connect(server.database()) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        server.restart("immediate")
        async with connect(server.database()) as connection:
            assert await connection.fetchval("SELECT n FROM kept") == 42


def test_ctrl_c_in_the_owner_stops_the_server_and_removes_its_directory(server_directory: Path) -> None:
    with _start_owner(server_directory) as owner:
        process_id = _server_of(owner)
        owner.send_signal(signal.SIGINT)
        owner.communicate(timeout=30)
    assert not _alive(process_id)
    assert not server_directory.exists()


def test_a_killed_owner_takes_its_server_with_it(server_directory: Path) -> None:
    with _start_owner(server_directory) as owner:
        process_id = _server_of(owner)
        owner.kill()
        owner.communicate(timeout=30)
    assert _wait_until(lambda: not _alive(process_id))
    assert _wait_until(lambda: not server_directory.exists())


@pytest.mark.parametrize("after_seconds", [0.25, 0.5, 0.75, 1.0])
def test_ctrl_c_while_the_server_starts_leaves_nothing(server_directory: Path, after_seconds: float) -> None:
    directory = server_directory / "server"
    with _start_owner(directory) as owner:
        time.sleep(after_seconds)
        os.killpg(owner.pid, signal.SIGINT)
        owner.communicate(timeout=30)
    assert _wait_until(lambda: not directory.exists())
    assert not [line for line in _command_lines() if str(directory) in line]


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text())
        except OSError:
            continue  # ended meanwhile
    return lines


def test_a_kept_server_outlives_its_owner_until_it_is_told_to_stop(server_directory: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tasks.core.server import PostgresServer
        server = PostgresServer.start(Path(sys.argv[1]))
        print((server.data_directory / "postmaster.pid").read_text().split()[0], server.keep())
        """
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, str(server_directory)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    process_id, *stop = printed.split()
    time.sleep(0.5)
    assert _alive(int(process_id))
    subprocess.run(stop, check=True)
    assert _wait_until(lambda: not server_directory.exists())
    assert not _alive(int(process_id))


def test_a_directory_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("mine")
    with pytest.raises(errors.ServerStartFailed, match="not an empty directory"):
        PostgresServer.start(tmp_path)
    assert (tmp_path / "letter").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for whom the server runs as another user; .ci/run is root")
def test_a_directory_closed_to_the_servers_user_is_refused_with_the_closed_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(errors.ServerStartFailed, match="may not pass"):
        PostgresServer.start(tmp_path / "server")
    assert not (tmp_path / "server").exists()


def test_a_wrong_setting_is_told_in_the_servers_own_words(server_directory: Path) -> None:
    with pytest.raises(errors.ServerStartFailed, match="unrecognized configuration parameter"):
        PostgresServer.start(server_directory, settings={"no_such_setting": "1"})
    assert not server_directory.exists()


def test_a_directory_without_postgres_is_named(server_directory: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.ServerStartFailed, match="no working `postgres`"):
        PostgresServer.start(server_directory, bin_directory=tmp_path)


def _fake_client(directory: Path, major: int) -> None:
    program = directory / "pg_dump"
    program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.1'\n")
    program.chmod(0o755)


def test_the_client_on_path_comes_first_if_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_client(tmp_path, 17)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_client_binary("pg_dump", 16) == tmp_path / "pg_dump"


def test_the_embedded_client_helps_where_path_has_an_old_one_and_tls_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_client(tmp_path, 9)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tasks.core.client_binaries.DEBIAN_INSTALLATIONS", tmp_path / "none")
    assert find_client_binary("pg_dump", 18) == embedded_bin_directory() / "pg_dump"
    with pytest.raises(errors.ClientBinaryTooOld, match="version 9, the server is 18"):
        find_client_binary("pg_dump", 18, needs_tls=True)


def test_a_missing_client_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.ClientBinaryMissing, match="pg_nothing for PostgreSQL 18"):
        find_client_binary("pg_nothing", 18)
