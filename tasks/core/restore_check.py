"""The proof of a backup: it is restored into a scratch database and compared with what was dumped."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tasks.core import sql_files
from tasks.core.client_process import ClientFailed, run_client
from tasks.core.database import Connection, Database, connect
from tasks.core.row_counts import STABLE_OUTPUT, TableContents, read_contents

NAME_BYTES = 63
# A newer pg_dump writes settings that an older server does not know; pg_restore goes on, and nothing is missing then.
FORGIVEN = ('unrecognized configuration parameter "transaction_timeout"',)
DIFFERENCES_SHOWN = 5


async def check_restore(
    database: Database,
    schema: str,
    dump: Path,
    program: Path,
    contents: Mapping[str, TableContents],
    *,
    jobs: int,
) -> None:
    """Restore a dump beside the database that it came from, and compare every table. The scratch database goes away.

    Args:
        dump: a directory for pg_restore or a file for psql.
        program: pg_restore or psql.
        contents: what was in the tables under the dump's snapshot.

    Raises:
        ClientFailed: what did not work, or which tables differ.
    """
    try:
        async with _scratch_database(database) as scratch:
            await run_client(
                program, restore_arguments(dump, scratch, jobs), scratch.client_environment(), forgiven=FORGIVEN
            )
            async with connect(scratch, purpose="restore check", settings=STABLE_OUTPUT) as connection:
                restored = await read_contents(connection, schema)
    except asyncpg.PostgresError as error:
        message = f"restore check: {error}"
        raise ClientFailed(message) from error
    differences = _compare(contents, restored)
    if differences:
        message = f"the restored copy differs: {'; '.join(differences[:DIFFERENCES_SHOWN])}"
        raise ClientFailed(message)


def restore_arguments(dump: Path, scratch: Database, jobs: int) -> list[str]:
    """What pg_restore is called with, or psql for a dump that is one file."""
    if dump.is_file():
        return ["--no-psqlrc", "--quiet", "--no-password", f"--file={dump}", "--output=/dev/null"]
    # Rows are compared here: roles, rights and what would start to replicate are left out.
    return [
        f"--dbname={connection_string(scratch.database)}", f"--jobs={jobs}", "--no-password", "--verbose", "--no-owner",
        "--no-privileges", "--no-publications", "--no-subscriptions", str(dump),
    ]  # fmt: skip


def connection_string(database: str) -> str:
    r"""A libpq connection string for a database of whatever name.

    >>> connection_string("it's = odd")
    "dbname='it\\'s = odd'"
    """
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def scratch_name(database: str, suffix: str) -> str:
    """The scratch database's name: it begins as the original does, and is no longer than PostgreSQL takes."""
    ending = f"_restore_check_{suffix}"
    beginning = database.encode()[: NAME_BYTES - len(ending)].decode(errors="ignore")
    return beginning + ending


@asynccontextmanager
async def _scratch_database(database: Database) -> AsyncIterator[Database]:
    name = scratch_name(database.database, secrets.token_hex(4))
    async with connect(database, purpose="restore check", settings={"statement_timeout": "0"}) as connection:
        statements = await connection.fetchrow(sql_files.query("compose_scratch_database"), name)
        assert statements is not None
        try:
            await connection.execute(statements["create_statement"])
            await connection.execute(statements["mark_statement"])
            yield database.model_copy(update={"database": name})
        finally:
            await _drop(database, connection, statements["drop_statement"])


async def _drop(database: Database, connection: Connection, statement: str) -> None:
    # The connection may have died with what failed, or been closed while its statement was cancelled.
    if not connection.is_closed():
        await connection.execute(statement)
        return
    async with connect(database, purpose="restore check") as another:
        await another.execute(statement)


def _compare(wanted: Mapping[str, TableContents], found: Mapping[str, TableContents]) -> list[str]:
    differences = []
    for name, table in wanted.items():
        other = found.get(name)
        if other is None:
            differences.append(f"{name} is missing")
        elif other.count != table.count:
            differences.append(f"{name} has {other.count:,} rows, not {table.count:,}")
        elif other.checksum != table.checksum:
            differences.append(f"the rows of {name} are not the same")
    differences.extend(f"{name} was not in the database" for name in found if name not in wanted)
    return differences
