"""The last of exactness, offline: campaigns is built again with its columns where they stood before the migration.

A column that was dropped comes back last, and PostgreSQL knows no way to move one. So the table is dropped and built anew from
pg_dump's own words, with all that depends on it, in one transaction, which only commits if every row and every definition is as
it was. Nobody can read or write campaigns meanwhile.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import postgast
from postgast import pg_query_pb2 as nodes

from tasks.core import errors, run, sql_files
from tasks.core.client_binaries import find_client_binary
from tasks.core.client_process import ClientFailed, run_client
from tasks.core.database import Connection, Database
from tasks.core.progress import Progress
from tasks.core.translation import translated

STEP = "rebuilding campaigns"
REMEDY = "Nothing was changed: campaigns and all that depends on it are as they were. The way back itself is complete."
LOCK_TIMEOUT = "10s"
# What makes the table itself, before its rows are there.
FIRST = {"TABLE", "SEQUENCE", "SEQUENCE OWNED BY", "DEFAULT"}
ENTRY = re.compile(r"^(?P<id>\d+); (?P<class>\d+) (?P<oid>\d+) (?P<rest>.*)$")
SETS_SESSION = re.compile(r"(\s*--.*\n|\s+)*(SET (?!default_)|SELECT pg_catalog\.set_config)")
KINDS = (
    "TABLE DATA", "TABLE ATTACH", "TABLE", "SEQUENCE SET", "SEQUENCE OWNED BY", "SEQUENCE", "DEFAULT",
)  # fmt: skip


@dataclass(frozen=True)
class Closure:
    """What goes with the table: the classes and oids of all of it, the relations among it, and what forbids a rebuild."""

    classes: list[int]
    objects: list[int]
    relations: list[int]
    materialized: list[int]
    sequences: list[int]
    problems: list[str]

    @property
    def keys(self) -> set[tuple[int, int]]:
        return set(zip(self.classes, self.objects, strict=True))


async def find_hindrances(connection: Connection) -> list[str]:
    """What keeps campaigns from being built again, by name; empty where nothing does. Changes nothing."""
    return (await _closure(connection)).problems


async def restore_order(database: Database, connection: Connection, run_id: str, progress: Progress) -> list[str]:
    """Build campaigns again with its columns in the order that campaigns_pre_migration_backup remembers.

    Returns: the order of the columns.

    Raises:
        StepFailed: if the former order is not known, if something that depends on the table cannot be built again (by name),
            or if anything would not be as it was. Nothing was changed then.
    """
    columns = await connection.fetch(sql_files.query("list_column_order"))
    if not await connection.fetchval(sql_files.query("has_migration_backup")):
        raise _refused("campaigns_pre_migration_backup is not there, so the former order is not known")
    wanted = [column["name"] for column in sorted(columns, key=lambda column: column["wanted"])]
    if wanted == [column["name"] for column in columns]:
        return wanted
    closure = await _closure(connection)
    if closure.problems:
        raise _refused(f"these would not come back: {'; '.join(closure.problems)}")
    with translated(STEP, REMEDY):
        before = await _describe(connection, closure)
        progress("reading definitions", 0, None)
        first, later = await _definitions(database, connection, closure)
        progress("campaigns is out of use while it is built again", 0, None)
        await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        path = await connection.fetchval("SELECT current_setting('search_path')")
        async with connection.transaction():
            await run.note(connection, run_id, "rollback", "campaigns built again, its columns in the former order")
            # Row level security must hide no row from the copy: rather an error.
            await connection.execute("LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE; SET LOCAL row_security = off")
            if before != await _describe(connection, closure):
                raise _refused("definitions changed while they were read")
            generated = {column["name"] for column in columns if column["is_generated"]}
            await _rebuild(connection, closure, first, later, wanted, generated)
            await connection.execute("SELECT set_config('search_path', $1, true)", path)
            after = await _describe(connection, await _closure(connection))
            apart = [
                *(f"- {line}" for line in before if line not in after),
                *(f"+ {line}" for line in after if line not in before),
            ]
            if apart:
                raise _refused(f"{len(apart)} definitions would not be as they were, such as {apart[0]}")
        await connection.execute("ANALYZE campaigns")
    return wanted


async def _rebuild(
    connection: Connection, closure: Closure, first: list[str], later: list[str], wanted: list[str], generated: set[str]
) -> None:
    plain = [name for name in wanted if name not in generated]
    statements = await connection.fetchrow(
        sql_files.query("compose_rebuild"), plain, closure.materialized, closure.sequences
    )
    assert statements is not None
    await connection.execute(statements["copy_statement"])
    checksum = await connection.fetchval(sql_files.query("compose_row_checksum"), wanted)
    rows = await connection.fetchval(checksum)
    sequences = [await connection.fetchval(question) for question in statements["sequence_questions"]]
    await connection.execute(statements["drop_statement"])
    for statement in first:
        await connection.execute(with_columns_in_order(statement, wanted))
    await connection.execute(statements["insert_statement"])
    for statement in [*later, *sequences, *statements["refresh_statements"]]:
        await connection.execute(statement)
    if rows != await connection.fetchval(checksum):
        raise _refused("the rows would not be as they were")


async def _closure(connection: Connection) -> Closure:
    rows = await connection.fetch(sql_files.query("list_rebuild_closure"))
    relations = [row for row in rows if row["relkind"] in {"r", "v", "m", "S"} and row["sub_id"] == 0]

    def of_kind(kind: str) -> list[int]:
        return [row["object_oid"] for row in relations if row["relkind"] == kind]

    populated = await connection.fetch(
        "SELECT oid::bigint FROM pg_class WHERE oid = ANY ($1::oid[]) AND relispopulated ORDER BY oid", of_kind("m")
    )
    return Closure(
        classes=[row["class_oid"] for row in rows],
        objects=[row["object_oid"] for row in rows],
        relations=[row["object_oid"] for row in relations],
        materialized=[row["oid"] for row in populated],
        sequences=of_kind("S"),
        problems=[f"{row['description']}: {row['problem']}" for row in rows if row["problem"]],
    )


async def _describe(connection: Connection, closure: Closure) -> list[str]:
    rows = await connection.fetch(
        sql_files.query("describe_rebuilt"), closure.classes, closure.objects, closure.relations
    )
    return [row["line"] for row in rows]


async def _definitions(database: Database, connection: Connection, closure: Closure) -> tuple[list[str], list[str]]:
    """pg_dump's statements for what goes with the table: those that make the table itself, and all others."""
    major = connection.get_server_version().major
    needs_tls = database.tls_mode in {"require", "verify-ca", "verify-full"}
    dump, restore = (find_client_binary(name, major, needs_tls=needs_tls) for name in ("pg_dump", "pg_restore"))
    environment = database.client_environment()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "schema")
        try:
            await run_client(dump, ["--schema-only", "--format=custom", f"--file={file}", "--no-password"], environment)
            listed = await run_client(restore, ["--list", "--verbose", str(file)], environment)
            texts = []
            for chosen in choose(listed, closure.keys):
                Path(directory, "list").write_text("\n".join(chosen) + "\n", encoding="utf-8")
                arguments = [f"--use-list={Path(directory, 'list')}", "--file=-", str(file)]
                texts.append(await run_client(restore, arguments, environment))
        except ClientFailed as error:
            raise _refused(f"pg_dump: {error}") from error
    first, later = (_statements(text) for text in texts)
    return first, later


def choose(listing: str, gone: set[tuple[int, int]]) -> tuple[list[str], list[str]]:
    """The lines of pg_restore's list that are about objects of a set, or hang on one: the table's own, and the others."""
    chosen: dict[str, str] = {}
    last: re.Match[str] | None = None
    for line in listing.splitlines():
        found = ENTRY.match(line)
        if found is not None:
            last = found
            if (int(found["class"]), int(found["oid"])) in gone:
                chosen[found["id"]] = line
        elif (
            # Grants, comments and the like have no number of their own.
            last is not None
            and last["class"] == "0"
            and line.startswith(";\tdepends on:")
            and not chosen.keys().isdisjoint(line.split(":")[1].split())
        ):
            chosen[last["id"]] = last.group(0)
    first: list[str] = []
    later: list[str] = []
    for line in chosen.values():
        rest = line.split(" ", 3)[3]
        kind = next((kind for kind in KINDS if rest.startswith(kind + " ")), "")
        (first if kind in FIRST else later).append(line)
    return first, later


def _statements(text: str) -> list[str]:
    """What pg_restore writes, without psql's own commands and what it sets for the session."""
    plain = "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))
    return [statement for statement in sql_files.statements(plain) if not SETS_SESSION.match(statement)]


def with_columns_in_order(statement: str, wanted: list[str]) -> str:
    """A CREATE TABLE for campaigns with its columns in another order; any other statement as it is."""
    tree = postgast.parse(statement)
    for create in postgast.find_nodes(tree, nodes.CreateStmt):
        if create.relation.relname != "campaigns":
            continue
        encoded = statement.encode()
        elements = [element.WhichOneof("node") for element in create.table_elts]
        starts = [getattr(element, kind).location for element, kind in zip(create.table_elts, elements, strict=True)]
        end = encoded.rindex(b"\n)")
        parts = {
            (element.column_def.colname if kind == "column_def" else f"constraint {start}"): encoded[start:stop]
            .decode()
            .rstrip()
            .removesuffix(",")
            for element, kind, start, stop in zip(create.table_elts, elements, starts, [*starts[1:], end], strict=True)
        }
        ordered = [*(parts[name] for name in wanted), *(text for name, text in parts.items() if name not in wanted)]
        return encoded[: starts[0]].decode() + ",\n    ".join(ordered) + encoded[end:].decode()
    return statement


def _refused(reason: str) -> errors.StepFailed:
    return errors.StepFailed(step=STEP, sqlstate="55000", reason=reason, remedy=REMEDY)
