"""The server, the role and the golang-migrate version: may this run work here at all?"""

from __future__ import annotations

from tasks.core.models import State
from tasks.core.preflight.subject import Subject, listed

OLDEST, NEWEST = 14, 18
DEFAULT_PREDECESSOR, CONTRACT, INDEXES = 34, 35, 36
VERSION_COLUMNS = ["version bigint not null", "dirty boolean not null"]


def check_server(subject: Subject) -> None:
    """Version, standby, read-only sessions, and the schema's own rights."""
    session = subject.session
    major = session["version_number"] // 10_000
    if not OLDEST <= major <= NEWEST:
        subject.block(
            "server-version",
            f"the server is PostgreSQL {session['version']}",
            f"This migration runs on PostgreSQL {OLDEST} to {NEWEST}.",
        )
    if session["is_standby"]:
        subject.block(
            "standby",
            f"{subject.database.host}:{subject.database.port} is a standby: it takes no writes",
            "Name the primary server.",
        )
    if session["is_read_only"]:
        subject.block(
            "read-only",
            f"sessions of role {session['role_name']} are read-only (default_transaction_read_only is on)",
            "Use another role, or ALTER ROLE ... SET default_transaction_read_only = off.",
        )
    if not session["schema_exists"]:
        return
    if not session["schema_usable"] or not session["schema_creatable"]:
        lacking = "CREATE" if session["schema_usable"] else "USAGE"
        subject.block(
            "schema-rights",
            f"role {session['role_name']} has no {lacking} right on schema {subject.schema}",
            f"GRANT USAGE, CREATE ON SCHEMA {subject.schema} TO {session['role_name']}, or connect as the owner.",
        )
    if not session["sees_all_sessions"]:
        subject.warn(
            "activity-hidden",
            f"role {session['role_name']} does not see other roles' sessions: long transactions may stay unseen",
            f"GRANT pg_read_all_stats TO {session['role_name']}.",
        )


def check_rights(subject: Subject) -> None:
    """Owner of both tables, and no row hidden from this role."""
    role = subject.session["role_name"]
    for name, table in subject.tables.items():
        if not table["is_owner"]:
            may = "may read it only" if table["is_readable"] else "may not even read it"
            subject.block(
                "not-owner",
                f"role {role} does not own table {name} ({table['owner']} does) and {may}",
                f"Connect as {table['owner']}, or GRANT {table['owner']} TO {role}.",
                [name],
            )
        if table["is_filtered"]:
            subject.block(
                "row-security",
                f"row level security hides rows of {name} from role {role}",
                f"Connect as a role with BYPASSRLS, or ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY meanwhile.",
                [name],
            )
        elif table["forces_row_security"]:
            subject.warn(
                "row-security-forced",
                f"row level security is forced on {name}; role {role} bypasses it, other owners do not",
                "Run every step as this role.",
                [name],
            )
        if not table["is_readable"] or table["is_filtered"]:
            subject.counts_rows = False


async def read_version_table(subject: Subject) -> None:
    """golang-migrate's version table: absent is fine; its shape, its version and its dirty flag are checked."""
    shape = await subject.fetch_one("describe_version_table", subject.schema)
    if shape is None:
        return
    table = f"{subject.schema}.schema_migrations"
    columns = [column.lower() for column in shape["columns"]]
    if (
        shape["kind"] != "r"
        or sorted(columns) != sorted(VERSION_COLUMNS)
        or shape["primary_key"] != "PRIMARY KEY (version)"
    ):
        subject.block(
            "version-table-shape",
            f"{table} is not golang-migrate's table: it has ({', '.join(shape['columns'])})",
            "It should be (version bigint not null primary key, dirty boolean not null). Find out which tool keeps it.",
        )
        return
    if not shape["is_readable"] or not shape["is_writable"]:
        subject.block(
            "version-table-rights",
            f"role {subject.session['role_name']} may not read, empty and fill {table}",
            f"GRANT SELECT, INSERT, TRUNCATE ON {table} TO {subject.session['role_name']}.",
        )
        return
    rows = await subject.fetch("list_migration_versions")
    if len(rows) > 1:
        subject.block(
            "version-table-rows",
            f"{table} has {len(rows)} rows ({listed([row['version'] for row in rows])}), golang-migrate keeps one",
            "Find out which tool wrote them; `migrate force V` leaves one.",
        )
        return
    if rows:
        subject.migration_version, subject.migration_dirty = rows[0]["version"], rows[0]["dirty"]
    _judge_version(subject, present=bool(rows))


def _judge_version(subject: Subject, *, present: bool) -> None:
    version, state = subject.migration_version, subject.state
    predecessor = subject.parameters.expected_version or DEFAULT_PREDECESSOR
    if subject.migration_dirty:
        force = {
            State.LEGACY: predecessor,
            State.DUAL: predecessor,
            State.CONTRACTED: CONTRACT,
            State.MIGRATED: INDEXES,
        }
        advice = (
            f"The database itself is {state}: if nothing else is amiss, `migrate force {force[state]}` says so."
            if version in {CONTRACT, INDEXES, predecessor} and state in force
            else "Mend what that migration left half done, then run `migrate force V`."
        )
        subject.block(
            "version-dirty", f"golang-migrate's version {version} is dirty: a migration failed half-way", advice
        )
        return
    if state is State.MIGRATED:
        if version is not None and version < INDEXES:
            subject.warn(
                "version-behind",
                f"golang-migrate's version is {version} though 000035 and 000036 are there",
                f"`migrate force {INDEXES}` says so, after a look at who ran them.",
            )
        return
    if not present:
        subject.block(
            "version-none",
            "golang-migrate's table is empty: no migration has run",
            f"Migrate to version {predecessor} first, or say `migrate force {predecessor}` if the schema is at it.",
        )
        return
    assert version is not None
    if state is State.CONTRACTED and version in {CONTRACT, INDEXES, predecessor}:
        if version != CONTRACT:
            subject.warn(
                "version-apart",
                f"golang-migrate's version is {version}, the database stands between 000035 and 000036",
                "This run writes the version again when it ends.",
            )
        return
    if version > INDEXES or (version in {CONTRACT, INDEXES} and state is not State.CONTRACTED):
        subject.block(
            "version-ahead",
            f"golang-migrate's version is {version}, yet the legacy columns are there",
            f"Other migrations may have taken these numbers. If not, say `migrate force {predecessor}`.",
        )
    elif version != predecessor:
        subject.block(
            "version-other",
            f"golang-migrate's version is {version}, not {predecessor}",
            f"Migrate to version {predecessor} first, or name {version} with --expected-version if that is right.",
        )
