"""A backup of the whole database by pg_dump, with a manifest that proves what is in it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from tasks.core import errors, sql_files
from tasks.core.backup_manifest import fingerprint_files, size_of, verify_backup, write_manifest
from tasks.core.client_binaries import find_client_binary
from tasks.core.client_process import ClientFailed, run_client
from tasks.core.database import ENCRYPTED_MODES, Database, connect
from tasks.core.models import BackupManifest
from tasks.core.progress import Progress, unheard
from tasks.core.restore_check import check_restore
from tasks.core.row_counts import STABLE_OUTPUT, TableContents, read_contents
from tasks.core.watch import watched_dump

__all__ = ["make_backup", "verify_backup"]

T = TypeVar("T")
module_log = logging.getLogger(__name__)

DUMP, PLAIN_DUMP = "dump", "backup_pre_migration.sql"
PLAIN_END = b"PostgreSQL database dump complete"
TAIL_BYTES = 4096
LOCK_WAIT = "30s"
# gzip's first level: a third of the time of its default for a tenth more bytes.
COMPRESSION = "1"
AGAIN = "Mend that and run again; what was begun is in {partial} and is no backup."


@dataclass(frozen=True)
class Programs:
    """The programs that make a backup, and what the server is."""

    pg_dump: Path
    pg_restore: Path | None
    psql: Path | None
    version: str


async def make_backup(
    database: Database,
    schema: str,
    directory: Path,
    *,
    format: Literal["directory", "plain"] = "directory",  # noqa: A002 - pg_dump's own word
    restore_check: bool = False,
    jobs: int = 2,
    log: logging.Logger = module_log,
    progress: Progress = unheard,
) -> BackupManifest:
    """Dump the whole database, read the dump back and write its manifest; all of it sees one snapshot.

    Until it is complete everything stands in `<directory>.partial`: what bears the name itself is whole.

    Args:
        schema: that of the campaign tables, whose rows are fingerprinted, not only counted.
        directory: made with mode 0700; must not exist, or be empty.
        restore_check: also restore into a scratch database on the same server and compare every table.
        jobs: parallel connections of pg_dump and pg_restore; a plain dump has one.

    Raises:
        DirectoryUnusable: the directory holds something, or cannot be made.
        ClientBinaryMissing, ClientBinaryTooOld: pg_dump, pg_restore or psql do not fit the server.
        BackupFailed: in the words of pg_dump, or with what the restored copy lacks. The database is as it was.
    """
    directory = directory.absolute()
    _require_free(directory)
    started = time.monotonic()
    settings = {**STABLE_OUTPUT, "idle_in_transaction_session_timeout": "0", "statement_timeout": "0"}
    async with connect(database, schema=schema, purpose="backup", settings=settings) as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            source = await connection.fetchrow(sql_files.query("describe_backup_source"))
            assert source is not None
            needs_tls = source["is_encrypted"] or database.tls_mode in ENCRYPTED_MODES
            programs = await _find_programs(
                database, source["major"], format, needs_tls=needs_tls, restore_check=restore_check
            )
            partial = _make_partial(directory, log)
            log.info("pg_dump %s writes to %s", programs.version, partial)
            try:
                _, contents = await _together(
                    _dump(database, programs, partial, source["snapshot"], format, jobs, progress),
                    read_contents(connection, schema),
                )
            except (ClientFailed, OSError) as error:
                raise _failed(directory, partial, error) from error
        try:
            await _read_back(database, programs, partial, format, contents)
            manifest = BackupManifest(
                directory=str(directory),
                format=format,
                files=await asyncio.to_thread(fingerprint_files, partial),
                bytes=size_of(partial),
                seconds=time.monotonic() - started,
                server_version=source["version"],
                snapshot=source["snapshot"],
                row_counts={name: table.count for name, table in contents.items()},
                checksums={name: table.checksum for name, table in contents.items() if table.checksum is not None},
                pg_dump_version=programs.version,
            )
            write_manifest(partial, manifest)
            if restore_check:
                progress("restore check", 0, None)
                restore = programs.psql or programs.pg_restore
                assert restore is not None
                dump = partial / (PLAIN_DUMP if format == "plain" else DUMP)
                await check_restore(database, schema, dump, restore, contents, jobs=jobs)
                update = {"restore_checked": True, "seconds": time.monotonic() - started}
                manifest = manifest.model_copy(update=update)
                write_manifest(partial, manifest)
            partial.rename(directory)
        except (ClientFailed, OSError) as error:
            raise _failed(directory, partial, error) from error
    log.info("backup in %s: %d files, %.1f MB", directory, len(manifest.files), manifest.bytes / 1e6)
    return manifest


def _failed(directory: Path, partial: Path, error: Exception) -> errors.BackupFailed:
    reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
    return errors.BackupFailed(directory=directory, reason=reason, remedy=AGAIN.format(partial=partial))


def _require_free(directory: Path) -> None:
    reason = None
    if directory.exists() and not directory.is_dir():
        reason = "it is not a directory"
    elif directory.is_dir() and any(directory.iterdir()):
        reason = "it is not empty, and a backup never overwrites another one"
    if reason is not None:
        raise errors.DirectoryUnusable(
            directory=directory, purpose="the backup", reason=reason, option="--backup-directory"
        )


def _make_partial(directory: Path, log: logging.Logger) -> Path:
    """The directory that the backup grows in: `<name>.partial`, or with a number where a broken one is left there."""
    number = 1
    while True:
        partial = directory.with_name(f"{directory.name}.partial{'' if number == 1 else f'-{number}'}")
        try:
            partial.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            log.warning("%s is left over from a backup that did not end; remove it when nobody needs it", partial)
            number += 1
        except OSError as error:
            raise errors.DirectoryUnusable(
                directory=directory, purpose="the backup", reason=error.strerror or error, option="--backup-directory"
            ) from error
        else:
            partial.chmod(0o700)
            return partial


async def _find_programs(
    database: Database, server_major: int, dump_format: str, *, needs_tls: bool, restore_check: bool
) -> Programs:
    def find(name: str) -> Path:
        return find_client_binary(name, server_major, needs_tls=needs_tls)

    is_plain = dump_format == "plain"
    pg_dump = find("pg_dump")
    printed = await run_client(pg_dump, ["--version"], database.client_environment())
    return Programs(
        pg_dump=pg_dump,
        pg_restore=None if is_plain else find("pg_restore"),
        psql=find("psql") if is_plain and restore_check else None,
        version=printed.strip().partition(") ")[2],
    )


async def _dump(
    database: Database,
    programs: Programs,
    partial: Path,
    snapshot: str,
    dump_format: str,
    jobs: int,
    progress: Progress,
) -> None:
    arguments = ["--verbose", "--no-password", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT}"]
    if dump_format == "plain":
        arguments += ["--format=plain", f"--file={partial / PLAIN_DUMP}"]
    else:
        arguments += [
            "--format=directory", f"--jobs={jobs}", f"--compress={COMPRESSION}", f"--file={partial / DUMP}",
        ]  # fmt: skip
    async with watched_dump(database, progress):
        await run_client(programs.pg_dump, arguments, database.client_environment())


async def _read_back(
    database: Database, programs: Programs, partial: Path, dump_format: str, contents: dict[str, TableContents]
) -> None:
    """The dump is complete, and every table that was counted has its data in it."""
    if dump_format == "plain":
        with (partial / PLAIN_DUMP).open("rb") as file:
            file.seek(max(0, (partial / PLAIN_DUMP).stat().st_size - TAIL_BYTES))
            if PLAIN_END not in file.read():
                message = f"{PLAIN_DUMP} does not end as a complete dump does"
                raise ClientFailed(message)
        return
    assert programs.pg_restore is not None
    listing = await run_client(programs.pg_restore, ["--list", str(partial / DUMP)], database.client_environment())
    entries = listing.count(" TABLE DATA ")
    if entries < len(contents):
        message = f"pg_restore --list shows data of {entries} tables, {len(contents)} were counted"
        raise ClientFailed(message)


async def _together(first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, T]) -> tuple[None, T]:
    """Both results; the failure of one, or a cancel, ends the other one first."""
    one, other = asyncio.create_task(first), asyncio.create_task(second)
    try:
        await asyncio.wait({one, other}, return_when=asyncio.FIRST_EXCEPTION)
        for task in (one, other):
            if task.done():
                task.result()
        return None, other.result()
    finally:
        for task in (one, other):
            task.cancel()
        await asyncio.gather(one, other, return_exceptions=True)
