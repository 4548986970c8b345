"""Copies of a database that live as long as a run, and are found and dropped by the next one if it was killed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tasks.core import errors, sql_files
from tasks.core.backup import DUMP, PLAIN_DUMP
from tasks.core.benchmark_models import Clone, CloneMethod
from tasks.core.client_binaries import find_client_binary
from tasks.core.client_process import ClientFailed, run_client
from tasks.core.database import ENCRYPTED_MODES, Connection, Database, connect
from tasks.core.models import BackupManifest
from tasks.core.restore_check import FORGIVEN, NAME_BYTES, restore_arguments

log = logging.getLogger(__name__)
MARK = "phases migration: benchmark copy of"
SETTINGS = {"statement_timeout": "0", "lock_timeout": "30s", "idle_session_timeout": "0"}
JOBS = 2
ORPHAN_SECONDS = 6.0  # a little longer than client_connection_check_interval
DIGITS = 8


@dataclass
class Cloner:
    """Makes copies of a database and drops them.

    The session holds an advisory lock for each of its copies: whoever gets that lock knows that nobody needs the copy.

    Attributes:
        stack: closes the session at the end.
        settings: what is set for the original alone, for sessions on a copy.
    """

    database: Database
    stack: AsyncExitStack
    major: int = 0
    is_encrypted: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    connection: Connection | None = None

    async def session(self) -> Connection:
        """A session on the original, the only one there while it is copied by TEMPLATE; anew if the server went away."""
        if self.connection is None or self.connection.is_closed():
            opening = connect(self.database, purpose="benchmark copies", settings=SETTINGS)
            self.connection = await self.stack.enter_async_context(opening)
            for name in self.names:
                await self.connection.fetchval("SELECT pg_try_advisory_lock($1)", lock_key(name))
        return self.connection

    def as_database(self, clone: Clone) -> Database:
        """How to reach a copy."""
        return self.database.model_copy(update={"database": clone.database})

    async def size(self) -> int:
        """Bytes of the original."""
        return int(await (await self.session()).fetchval("SELECT pg_database_size(current_database())"))

    async def by_template(self) -> Clone | str:
        """A copy by CREATE DATABASE ... TEMPLATE; new sessions of the original wait until it is made.

        Returns:
            The copy, or why it cannot be made so.
        """
        name, plan = await self._plan()
        if not plan["creates_databases"]:
            return "this role may not create databases"
        if not plan["may_copy"]:
            return f"this role does not own database {plan['database_name']}"
        if plan["others"] or plan["has_prepared"]:
            return (
                f"{plan['others']} other sessions are connected" if plan["others"] else "it has prepared transactions"
            )
        started = time.monotonic()
        try:
            await (await self.session()).execute(plan["copy_statement"])
        except (asyncpg.ObjectInUseError, asyncpg.InsufficientPrivilegeError) as error:
            return str(error)
        return await self._made(name, "template", started, "", plan["mark_statement"])

    async def again(self, clone: Clone) -> Clone:
        """A second copy of the same state: nobody is connected to the first one, whatever happens to the original.

        Raises:
            CloneFailed: in the words of the server.
        """
        started = time.monotonic()
        name, plan = await self._plan(clone.database)
        try:
            await (await self.session()).execute(plan["copy_statement"])
        except asyncpg.PostgresError as error:
            raise errors.CloneFailed(database=clone.database, reason=str(error).rstrip(".")) from error
        return await self._made(name, clone.method, started, clone.why, plan["mark_statement"])

    async def by_restoring(self, why: str, backup: BackupManifest | None = None) -> Clone:
        """A copy by pg_restore, from this backup or from a dump that is made for it.

        Args:
            why: it is not made by TEMPLATE.

        Raises:
            CloneFailed: in the words of the program or the server.
        """
        started = time.monotonic()
        name, plan = await self._plan()
        try:
            connection = await self.session()
            created = await connection.fetchrow(sql_files.query("compose_scratch_database"), name)
            assert created is not None
            await connection.execute(created["create_statement"])
            target = self.database.model_copy(update={"database": name})
            if backup is not None:
                is_plain = backup.format == "plain"
                await self._restore(Path(backup.directory) / (PLAIN_DUMP if is_plain else DUMP), target)
                return await self._made(name, "backup", started, why, plan["mark_statement"])
            with tempfile.TemporaryDirectory(prefix="campaign-benchmark-") as directory:
                dump = Path(directory) / DUMP
                await self._dump(dump)
                await self._restore(dump, target)
            return await self._made(name, "dump", started, why, plan["mark_statement"])
        except (ClientFailed, asyncpg.PostgresError, OSError) as error:
            raise errors.CloneFailed(database=self.database.database, reason=str(error).rstrip(".")) from error

    async def drop(self, name: str) -> None:
        """Drop a copy that is no longer needed; what cannot be dropped now is left to the next run, with a warning."""
        try:
            connection = await self.session()
            statement = "SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text)"
            await connection.execute(await connection.fetchval(statement, name))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, errors.MigrationToolError, OSError) as error:
            log.warning("the copy %s could not be dropped (%s); the next benchmark drops it", name, error)
        self.names.remove(name)

    async def drop_all(self) -> None:
        """Drop every copy of this session, whatever became of its connection."""
        for name in list(self.names):
            await self.drop(name)

    async def drop_leftovers(self) -> list[str]:
        """Drop copies of this database whose run is gone; those of runs at work are left alone.

        Returns:
            Their names.
        """
        dropped = []
        connection = await self.session()
        for row in await connection.fetch(sql_files.query("list_databases")):
            if not is_clone_of(row["name"], self.database.database) or not await self._nobody_needs(row["name"]):
                continue
            try:
                await connection.execute(row["drop_statement"])
                dropped.append(row["name"])
                log.info("dropped %s, which a benchmark that did not end has left", row["name"])
            except asyncpg.PostgresError as error:
                log.warning("%s, which an earlier benchmark has left, could not be dropped: %s", row["name"], error)
            finally:
                await connection.fetchval("SELECT pg_advisory_unlock($1)", lock_key(row["name"]))
        return dropped

    async def _nobody_needs(self, name: str) -> bool:
        """Whether its run is gone. The server side of a killed one may go on for some seconds: it is waited for."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        connection = await self.session()
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock_key(name)):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.2)
        return True

    async def _plan(self, source: str | None = None) -> tuple[str, asyncpg.Record]:
        """A new name, ours from now on, and the statements for it: a copy of the original, or of another copy."""
        name = clone_name(self.database.database)
        connection = await self.session()
        await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock_key(name))
        self.names.append(name)
        plan = await connection.fetchrow(
            sql_files.query("compose_clone_database"), name, f"{MARK} {self.database.database}", source
        )
        assert plan is not None
        return name, plan

    async def _made(self, name: str, method: CloneMethod, started: float, why: str, mark: str) -> Clone:
        connection = await self.session()
        await connection.execute(mark)
        size = await connection.fetchval("SELECT pg_database_size($1::text::name)", name)
        return Clone(database=name, method=method, why=why, seconds=time.monotonic() - started, bytes=size)

    def _program(self, name: str) -> Path:
        needs_tls = self.is_encrypted or self.database.tls_mode in ENCRYPTED_MODES
        return find_client_binary(name, self.major, needs_tls=needs_tls)

    async def _dump(self, dump: Path) -> None:
        arguments = ["--no-password", "--format=directory", f"--jobs={JOBS}", "--compress=1", f"--file={dump}"]
        program = self._program("pg_dump")
        await run_client(program, [*arguments, "--verbose"], self.database.client_environment())

    async def _restore(self, dump: Path, target: Database) -> None:
        program = self._program("psql" if dump.is_file() else "pg_restore")
        arguments = restore_arguments(dump, target, JOBS)
        await run_client(program, arguments, target.client_environment(), forgiven=FORGIVEN)


@asynccontextmanager
async def cloner(database: Database) -> AsyncIterator[Cloner]:
    """Copies of this database while the body runs; what an interrupted run has left goes first."""
    async with AsyncExitStack() as stack:
        made = Cloner(database, stack)
        connection = await made.session()
        rows = await connection.fetch(sql_files.query("list_session_settings"))
        made.settings = {row["name"]: row["value"] for row in rows}
        made.major = connection.get_server_version().major
        made.is_encrypted = await connection.fetchval(
            "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
        )
        await made.drop_leftovers()
        try:
            yield made
        finally:
            await asyncio.shield(made.drop_all())


def clone_name(database: str) -> str:
    """A new name that says what it is a copy of, and proves it: its last digits follow from the rest."""
    drawn = secrets.token_hex(DIGITS // 2)
    return f"{_stem(database)}{drawn}{_proof(database, drawn)}"


def is_clone_of(name: str, database: str) -> bool:
    """Whether this is the name of a copy of ours, even of one that was killed before it got its comment."""
    stem = _stem(database)
    drawn, proof = name[len(stem) : -DIGITS], name[-DIGITS:]
    return name.startswith(stem) and len(drawn) == DIGITS and proof == _proof(database, drawn)


def lock_key(name: str) -> int:
    """The key of the advisory lock that says that somebody needs a copy (64 bits, signed)."""
    return int.from_bytes(hashlib.sha256(f"{MARK} {name}".encode()).digest()[:8], "big", signed=True)


def _stem(database: str) -> str:
    ending = "_benchmark_"
    room = NAME_BYTES - len(ending) - 2 * DIGITS
    return database.encode()[:room].decode(errors="ignore") + ending


def _proof(database: str, drawn: str) -> str:
    return hashlib.sha256(f"{MARK} {database} {drawn}".encode()).hexdigest()[:DIGITS]
