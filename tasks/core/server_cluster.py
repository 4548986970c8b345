"""Making a new PostgreSQL cluster in a directory, and removing what was made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.core import errors
from tasks.core.server_installation import SERVER_USER, reachable, server_account

REMOVE_SECONDS = 5.0


def make_cluster(
    directory: Path, *, bin_directory: Path, superuser: str, password: str, settings: Mapping[str, str]
) -> Path:
    """Make a cluster in `directory`/data, which logs to `directory`/server.log and wants a password from everybody.

    Args:
        directory: exists and is empty.
        bin_directory: of the installation that makes it.
        superuser: name of the first role.
        password: its password.
        settings: lines for postgresql.conf.

    Returns:
        The binaries to start it with: `bin_directory`, or a copy that the server's user can read.

    Raises:
        ServerStartFailed: with what initdb said, or with the directory that is closed to the server's user.
    """
    account = server_account()
    directory.chmod(0o711 if account else 0o700)
    if account:
        _require_way_in(directory)
        bin_directory = reachable(bin_directory, directory)
    # The server's user may not write into our directory: what it writes to is made for it beforehand.
    data, password_file, log = directory / "data", directory / "superuser", directory / "server.log"
    data.mkdir(mode=0o700)
    for path in (password_file, log):
        path.touch(mode=0o600)
    password_file.write_text(password + "\n")
    if account:
        for path in (data, password_file, log):
            os.chown(path, *account)
    exit_code, printed = _run_to_end(
        [
            str(bin_directory / "initdb"),
            f"--pgdata={data}",
            f"--username={superuser}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # One order of text on every version and platform: the sample's checksums rely on it.
            "--locale=C",
        ],
        account,
    )
    password_file.unlink()
    if exit_code != 0:
        raise errors.ServerStartFailed(directory=directory, reason=printed[-2000:])
    with (data / "postgresql.conf").open("a") as configuration:
        for name, value in settings.items():
            quoted = value.replace("'", "''")
            configuration.write(f"{name} = '{quoted}'\n")
    return bin_directory


def remove_directory(directory: Path) -> None:
    """Remove a directory in which a killed process may still be about to write.

    Raises:
        OSError: if it is still there after REMOVE_SECONDS.
    """
    deadline = time.monotonic() + REMOVE_SECONDS
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=time.monotonic() < deadline)
        if directory.exists():
            time.sleep(0.05)


def plain_environment() -> dict[str, str]:
    """This process's environment without the PG* variables, which would reach the server, too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _require_way_in(directory: Path) -> None:
    closed = [parent for parent in directory.parents if not parent.stat().st_mode & 0o001]
    if closed:
        reason = (
            f"PostgreSQL refuses to run as root, and the user {SERVER_USER!r} may not pass {closed[-1]}."
            " Name a directory that every user can reach, such as one below /tmp."
        )
        raise errors.ServerStartFailed(directory=directory, reason=reason)


def _run_to_end(command: list[str], account: tuple[int, int] | None) -> tuple[int, str]:
    """The exit code and the output. If we are interrupted, it ends with all its children before we go on."""
    identity: dict[str, Any] = {}
    if account is not None:
        identity = {"user": account[0], "group": account[1], "extra_groups": []}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        start_new_session=True,
        env=plain_environment(),
        **identity,
    ) as process:
        try:
            printed, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, printed.strip()
