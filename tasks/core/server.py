"""A private PostgreSQL server in a directory of its own, for the demo and the tests: it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import SecretStr

from tasks.core import errors
from tasks.core.database import Database
from tasks.core.server_cluster import make_cluster, plain_environment, remove_directory
from tasks.core.server_installation import (
    embedded_bin_directory,
    server_account,
    server_version,
    statement_statistics,
)

SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 90.0
PORT_ATTEMPTS = 5
# The line of postmaster.pid that tells the state.
POSTMASTER_STATE = slice(7, 8)
StopMode = Literal["fast", "immediate"]

# What a trial of a migration wants to know, and a size that fits a developer's machine; durability as in production.
DEFAULT_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    # TCP alone: a socket's path may be no longer than 107 bytes, and directories of tests are.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "password_encryption": "scram-sha-256",
    "track_io_timing": "on",
    "track_functions": "pl",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class PostgresServer:
    """A running server. Make one with `PostgresServer.start`; use it in a `with` block, or call `stop` or `keep`.

    The server ends with this process, even if that is killed: a guard process in a session of its own watches over it.
    Logins need a password over 127.0.0.1; there is no socket.

    Attributes:
        directory: holds everything: `data`, `server.log`, `passfile`.
        bin_directory: the binaries in use, server and clients.
        port: TCP port on 127.0.0.1.
        version: full version, such as "18.6".
        password: the superuser's.
    """

    def __init__(self, directory: Path, bin_directory: Path, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.bin_directory = bin_directory
        self.version = server_version(bin_directory, directory)
        self.password = SecretStr(secrets.token_urlsafe(24))
        self.port = 0
        self._settings = {**DEFAULT_SETTINGS, **statement_statistics(bin_directory), **settings}
        self._account = server_account()
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls, directory: Path, *, bin_directory: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> Self:
        """Make a cluster in `directory`, which must be empty or absent, and start it.

        As root the server runs as the user `embedded_postgres`, made if it is lacking, since PostgreSQL refuses root.

        Args:
            directory: goes away with the server.
            bin_directory: such as /usr/lib/postgresql/15/bin; None means the embedded wheel's.
            settings: lines for postgresql.conf, over DEFAULT_SETTINGS.

        Raises:
            ServerStartFailed: with the end of the server's log. Nothing is left running then, nor in the directory.
        """
        directory = directory.absolute()
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise errors.ServerStartFailed(
                directory=directory, reason="it is not an empty directory. Name another one."
            )
        server = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            server = cls(directory, bin_directory or embedded_bin_directory(), settings or {})
            server.bin_directory = make_cluster(
                directory,
                bin_directory=server.bin_directory,
                superuser=SUPERUSER,
                password=server.password.get_secret_value(),
                settings=server._settings,
            )
            server._run()
        except BaseException as error:
            if server is not None:
                server._end_guard("immediate remove")
            remove_directory(directory)
            if isinstance(error, OSError):
                raise errors.ServerStartFailed(directory=directory, reason=str(error)) from error
            raise
        return server

    @property
    def data_directory(self) -> Path:
        """PGDATA."""
        return self.directory / "data"

    @property
    def passfile(self) -> Path:
        """A libpq password file, readable by its owner alone."""
        return self.directory / "passfile"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    @property
    def major(self) -> int:
        """Major version."""
        return int(self.version.split(".")[0])

    @property
    def running(self) -> bool:
        """Whether the server's processes are there."""
        return self._guard is not None and self._guard.poll() is None

    def url(self, database: str = "postgres") -> str:
        """A libpq URL without the password, which stands in `passfile`."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def database(self, name: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> Database:
        """How to reach a database of this server.

        Args:
            name: of the database, which need not exist.
            user: a role; another one than the superuser needs its password.
            password: None means the superuser's.
        """
        secret = self.password if password is None else SecretStr(password)
        return Database(host="127.0.0.1", port=self.port, database=name, user=user, password=secret, tls_mode="disable")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and remove its directory. May be called again.

        Args:
            mode: as pg_ctl's: fast rolls back what is open and writes a checkpoint, immediate leaves a crash.
        """
        self._end_guard(f"{mode} remove")
        remove_directory(self.directory)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server and start it on the same data and port; after `immediate` it recovers as after a crash.

        Raises:
            ServerStartFailed: with the end of the server's log.
        """
        self._end_guard(mode)
        self._run(port=self.port)

    def keep(self) -> str:
        """Let the server outlive this process.

        Returns:
            The shell command that stops it and removes its directory.
        """
        guard = self._guard
        if guard is None or guard.stdin is None:
            raise errors.ServerStartFailed(directory=self.directory, reason="it is stopped, so it cannot be kept.")
        guard.stdin.write(b"keep\n")
        # The pipe stays open until the guard has read the order: an end of file first would be taken for our death.
        self._guard = None
        _kept.append(guard)
        return f"kill {guard.pid}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._guard is not None:
            self.stop("fast" if error is None else "immediate")

    def _run(self, port: int | None = None) -> None:
        for _ in range(PORT_ATTEMPTS):
            self.port = port or _free_port()
            log_start = self.log.stat().st_size
            crashed = self._postmaster_lines()
            self._launch_guard()
            if self._wait_until_ready(crashed):
                self._write_passfile()
                return
            with self.log.open(errors="replace") as log:
                log.seek(log_start)
                reason = log.read().strip()
            self._end_guard("immediate")
            if "Address already in use" not in reason:
                raise errors.ServerStartFailed(directory=self.directory, reason=reason[-2000:] or "it wrote no log.")
        raise errors.ServerStartFailed(directory=self.directory, reason=f"port {self.port} on 127.0.0.1 is taken.")

    def _launch_guard(self) -> None:
        uid, gid = self._account or (None, None)
        instructions = {
            "command": [str(self.bin_directory / "postgres"), "-D", str(self.data_directory), "-p", str(self.port)],
            "uid": uid,
            "gid": gid,
            "log": str(self.log),
            "directory": str(self.directory),
        }
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("server_guard.py")), json.dumps(instructions)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            env=plain_environment(),
        )

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.data_directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _wait_until_ready(self, crashed: list[str]) -> bool:
        """Wait for the word "ready" in another postmaster.pid than the one that a crashed server left."""
        deadline = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < deadline:
            lines = self._postmaster_lines()
            if lines != crashed and [line.strip() for line in lines[POSTMASTER_STATE]] == ["ready"]:
                return True
            time.sleep(0.02)
        return False

    def _write_passfile(self) -> None:
        self.passfile.touch(mode=0o600)
        self.passfile.write_text(f"127.0.0.1:{self.port}:*:{SUPERUSER}:{self.password.get_secret_value()}\n")

    def _end_guard(self, order: str) -> None:
        guard, self._guard = self._guard, None
        if guard is None or guard.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and the server with it
            guard.stdin.write(f"{order}\n".encode())
        try:
            guard.wait(timeout=STOP_SECONDS)
        finally:
            guard.stdin.close()


# Guards of kept servers: held so that their pipes live as long as this process.
_kept: list[subprocess.Popen[bytes]] = []


async def start_server(
    directory: Path, *, bin_directory: Path | None = None, settings: Mapping[str, str] | None = None
) -> PostgresServer:
    """`PostgresServer.start` for async code: the loop goes on meanwhile, and a cancel stops what has started."""
    start = asyncio.ensure_future(
        asyncio.to_thread(PostgresServer.start, directory, bin_directory=bin_directory, settings=settings)
    )
    try:
        return await asyncio.shield(start)
    except asyncio.CancelledError:
        server = await start
        await asyncio.to_thread(server.stop, "immediate")
        raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
