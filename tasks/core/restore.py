"""Back from the backup: a pg_dump restored into a new database beside the old one. Nothing is ever dropped here."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import asyncpg

from tasks.core import errors, sql_files
from tasks.core.backup_manifest import verify_backup
from tasks.core.client_binaries import find_client_binary
from tasks.core.client_process import ClientFailed, run_client
from tasks.core.database import ENCRYPTED_MODES, Database, connect
from tasks.core.models import BackupManifest, Model
from tasks.core.progress import Progress
from tasks.core.restore_check import FORGIVEN, NAME_BYTES, connection_string
from tasks.core.row_counts import STABLE_OUTPUT, TableContents, read_contents

JOBS = 2


class RestoreReport(Model):
    """What was restored, and how the names are swapped."""

    database: str  # the new database
    tables: int
    rows: int
    seconds: float
    swap_statements: list[str]  # two commands for psql, connected to another database, when nobody uses the old one


async def restore_backup(database: Database, schema: str, directory: Path, progress: Progress) -> RestoreReport:
    """Restore a backup beside the database it came from, and compare every table with the manifest.

    Raises:
        BackupDamaged: names the file that was changed, truncated or removed.
        BackupFailed: if the restore fails or differs; the new database stays, and its name is in the message.
    """
    began = dt.datetime.now(dt.UTC)
    progress("verifying the backup's files", 0, None)
    manifest = verify_backup(directory)
    target = database.model_copy(update={"database": _new_name(database.database, began)})
    try:
        major = await _create(database, target)
        progress(f"restoring into {target.database}", 0, None)
        await _run(database, target, manifest, directory, major)
        progress("comparing with the manifest", 0, None)
        async with connect(target, purpose="restore", settings=STABLE_OUTPUT) as connection:
            found = await read_contents(connection, schema)
    except (ClientFailed, asyncpg.PostgresError) as error:
        raise _failed(directory, str(error), target) from error
    differences = compare(manifest, found)
    if differences:
        raise _failed(directory, f"the restored database differs: {'; '.join(differences[:5])}", target)
    async with connect(database, purpose="restore") as connection:
        swap = await connection.fetchrow(
            sql_files.query("compose_swap"), database.database, target.database, f"{began:%Y%m%d_%H%M%S}"
        )
    assert swap is not None
    return RestoreReport(
        database=target.database,
        tables=len(found),
        rows=sum(table.count for table in found.values()),
        seconds=round((dt.datetime.now(dt.UTC) - began).total_seconds(), 3),
        swap_statements=[swap["aside_statement"], swap["in_place_statement"]],
    )


def compare(manifest: BackupManifest, found: dict[str, TableContents]) -> list[str]:
    """How the tables of a restored database differ from the manifest, in words."""
    differences = []
    for name, count in manifest.row_counts.items():
        table = found.get(name)
        if table is None:
            differences.append(f"{name} is missing")
        elif table.count != count:
            differences.append(f"{name} has {table.count:,} rows, not {count:,}")
        elif name in manifest.checksums and table.checksum != manifest.checksums[name]:
            differences.append(f"the rows of {name} are not the same")
    return differences


async def _create(database: Database, target: Database) -> int:
    async with connect(database, purpose="restore", settings={"statement_timeout": "0"}) as connection:
        statements = await connection.fetchrow(sql_files.query("compose_scratch_database"), target.database)
        assert statements is not None
        await connection.execute(statements["create_statement"])
        return int(connection.get_server_version().major)


async def _run(database: Database, target: Database, manifest: BackupManifest, directory: Path, major: int) -> None:
    needs_tls = database.tls_mode in ENCRYPTED_MODES
    if manifest.format == "plain":
        program = find_client_binary("psql", major, needs_tls=needs_tls)
        (file,) = manifest.files
        arguments = ["--no-psqlrc", "--quiet", "--no-password", "-v", "ON_ERROR_STOP=1", f"--file={directory / file}"]
    else:
        program = find_client_binary("pg_restore", major, needs_tls=needs_tls)
        arguments = [
            f"--dbname={connection_string(target.database)}", f"--jobs={JOBS}", "--no-password", "--verbose",
            "--no-subscriptions", str(directory / "dump"),
        ]  # fmt: skip
    await run_client(program, arguments, target.client_environment(), forgiven=FORGIVEN)


def _failed(directory: Path, reason: str, target: Database) -> errors.BackupFailed:
    return errors.BackupFailed(
        directory=directory,
        reason=reason,
        remedy=f"What was restored so far is in database {target.database}; look at it, and drop it yourself.",
    )


def _new_name(database: str, now: dt.datetime) -> str:
    ending = f"_restored_{now:%Y%m%d_%H%M%S}"
    return database.encode()[: NAME_BYTES - len(ending)].decode(errors="ignore") + ending
