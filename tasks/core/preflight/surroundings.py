"""This machine: pg_dump, the directories and the room in them; and the server's own disk where it can be known."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tasks.core import errors
from tasks.core.client_binaries import find_client_binary
from tasks.core.database import ENCRYPTED_MODES
from tasks.core.preflight.subject import Subject, counted, listed
from tasks.core.settings import MigrateParameters

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
PROBE_BYTES = 65_536
PORT_LINE = 3  # of postmaster.pid, from 0
GIGABYTE = 1e9
REPORT_BYTES = 16 * 1024 * 1024
# A directory-format dump is compressed to a third or less of its rows; half is on the safe side.
COMPRESSED_SHARE = 0.5
AMPLE = 2.0
MEBIBYTE = 1024 * 1024


def check_clients(subject: Subject) -> None:
    """pg_dump and pg_restore are here and not older than the server."""
    major = subject.session["version_number"] // 10_000
    needs_tls = subject.session["is_encrypted"] or subject.database.tls_mode in ENCRYPTED_MODES
    names = ["pg_dump"] if subject.parameters.backup_format == "plain" else ["pg_dump", "pg_restore"]
    if subject.parameters.restore_check and subject.parameters.backup_format == "plain":
        names.append("psql")
    for name in names:
        try:
            find_client_binary(name, major, needs_tls=needs_tls)
        except (errors.ClientBinaryMissing, errors.ClientBinaryTooOld) as error:
            code = "client-missing" if isinstance(error, errors.ClientBinaryMissing) else "client-too-old"
            _note_local(subject, code, str(error), "The backup, without which nothing is changed, needs it.", [name])


async def check_backup_rights(subject: Subject) -> None:
    """pg_dump reads every table of the database: this role must be able to, wholly."""
    rows = await subject.fetch("find_unreadable_tables")
    closed = [row["name"] for row in rows if row["is_closed"]]
    filtered = [row["name"] for row in rows if not row["is_closed"]]
    role = subject.session["role_name"]
    if closed:
        subject.block(
            "backup-rights",
            f"role {role} may not read {counted(len(closed), 'table')} that the backup holds: {listed(closed)}",
            f"GRANT pg_read_all_data TO {role}.",
            closed,
        )
    if filtered:
        subject.block(
            "backup-row-security",
            f"row level security hides rows of {listed(filtered)} from role {role}: the backup would not be whole",
            f"ALTER ROLE {role} BYPASSRLS, or connect as a role that has it.",
            filtered,
        )
    if subject.parameters.restore_check and not subject.session["creates_databases"]:
        subject.block(
            "restore-check-rights",
            f"role {role} may not create the scratch database of the restore check",
            f"ALTER ROLE {role} CREATEDB, or leave --restore-check out.",
        )


async def check_room(subject: Subject) -> None:
    """The directories can be written to, and the backup and the migration fit."""
    parameters = subject.parameters
    reports = parameters.report_directory or Path("reports")
    backup = parameters.backup_directory or reports / "backup"
    if _check_directory(subject, reports, "the reports", "--report-directory"):
        _check_free(subject, reports, REPORT_BYTES, "the reports", "--report-directory")
    row = await subject.fetch_one("measure_backup", subject.oids)
    assert row is not None
    needed = row["table_bytes"] * (1.0 if parameters.backup_format == "plain" else COMPRESSED_SHARE)
    if parameters.backup_directory is not None and backup.is_dir() and any(backup.iterdir()):
        error = errors.DirectoryUnusable(
            directory=backup, purpose="the backup", reason="it is not empty", option="--backup-directory"
        )
        _note_local(subject, "directory-unusable", str(error), "A backup never overwrites another one.", [backup])
    elif _check_directory(subject, backup, "the backup", "--backup-directory"):
        _check_free(subject, backup, needed, "the backup", "--backup-directory")
    _check_server_disk(subject, row["migration_bytes"] + copies_bytes(parameters, row["database_bytes"]))


def copies_bytes(parameters: MigrateParameters, database: int) -> int:
    """What copies of the database for the benchmark take at most, all that are there at one time."""
    for_writes = not parameters.benchmark_writes and database <= parameters.clone_limit_gb * GIGABYTE
    return database * (parameters.paired + for_writes)


def _check_directory(subject: Subject, directory: Path, purpose: str, option: str) -> bool:
    """Write a little where the directory is or will be, and take it away again."""
    place = _nearest(directory)
    reason = None
    if not place.is_dir():
        reason = f"{place} is not a directory"
    else:
        try:
            with tempfile.TemporaryFile(dir=place) as probe:
                probe.write(b"\0" * PROBE_BYTES)
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            reason = error.strerror or str(error)
    if reason is None:
        return True
    problem = errors.DirectoryUnusable(directory=directory, purpose=purpose, reason=reason, option=option)
    _note_local(subject, "directory-unusable", str(problem), "It must be writable and have room.", [directory])
    return False


def _nearest(directory: Path) -> Path:
    """The directory itself, or the nearest one above it that is there."""
    place = directory.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _check_free(subject: Subject, directory: Path, needed: float, purpose: str, option: str) -> None:
    free = shutil.disk_usage(_nearest(directory)).free
    if free < needed:
        problem = errors.DirectoryUnusable(
            directory=directory,
            purpose=purpose,
            reason=f"{_mebibytes(free)} are free, about {_mebibytes(needed)} are needed",
            option=option,
        )
        _note_local(subject, "disk-full", str(problem), "Make room, or name a larger disk.", [directory])
    elif free < needed * AMPLE:
        subject.warn(
            "disk-tight",
            f"{_mebibytes(free)} are free in {directory} for {purpose}, about {_mebibytes(needed)} are needed",
            f"Make room, or name another one with {option}.",
            [directory],
        )


def _check_server_disk(subject: Subject, needed: int) -> None:
    directory = _server_directory(subject)
    if directory is None:
        subject.warn(
            "disk-unknown",
            f"the server's free disk cannot be seen from here; this migration writes about {_mebibytes(needed)}",
            "Look on the server (df), index builds and write-ahead log included.",
        )
        return
    free = shutil.disk_usage(directory).free
    if free < needed:
        subject.block(
            "server-disk-full",
            f"the server's disk ({directory}) has {_mebibytes(free)} free, about {_mebibytes(needed)} are written",
            "Make room on the server first.",
            [directory],
        )
    elif free < needed * AMPLE:
        subject.warn(
            "server-disk-tight",
            f"the server's disk ({directory}) has {_mebibytes(free)} free, about {_mebibytes(needed)} are written",
            "Make room on the server, replicas and archived log included.",
            [directory],
        )


def _server_directory(subject: Subject) -> Path | None:
    """The data directory, if it is on this machine: the same path, with the pid file of a server on the same port."""
    named = subject.session["data_directory"]
    is_local = subject.database.host in LOCAL_HOSTS or subject.database.host.startswith("/")
    if named is None or not is_local:
        return None
    try:
        lines = (Path(named) / "postmaster.pid").read_text().splitlines()
    except OSError:
        return None
    return Path(named) if lines[PORT_LINE : PORT_LINE + 1] == [str(subject.database.port)] else None


def _note_local(subject: Subject, code: str, message: str, remedy: str, keys: list[object]) -> None:
    """A blocker for who applies from this machine; who plans may be on another one than who will apply."""
    note = subject.block if subject.for_apply else subject.warn
    note(code, message, remedy, keys)


def _mebibytes(size: float) -> str:
    return f"{size / MEBIBYTE:,.0f} MiB"
