"""The two core tables and the users table: are they there, and do they have the shape that this migration knows?"""

from __future__ import annotations

from tasks.core import catalog
from tasks.core.models import State
from tasks.core.preflight.subject import Subject, counted, listed

KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "p": "a partitioned table"}
# Up and back take ten column numbers, and five more where columns of other types are replaced by ours and come back.
COLUMN_LIMIT, COLUMN_WARNING = 1_586, 1_400
AGE_WARNING = 1_900_000_000


async def find_tables(subject: Subject) -> bool:
    """Look for the two tables; without them nothing else can be checked, and False says so."""
    if subject.session["schema_exists"] and subject.session["schema_usable"]:
        rows = await subject.fetch("find_core_tables", subject.schema)
        subject.tables = {row["name"]: row for row in sorted(rows, key=lambda row: str(row["name"]))}
    elif subject.session["schema_exists"]:
        return False
    lacking = [name for name in ("campaigns", "generated_domains") if name not in subject.tables]
    if lacking:
        others = [row[0] for row in await subject.fetch("find_campaign_schemas") if row[0] != subject.schema]
        what = "exists" if subject.session["schema_exists"] else "does not exist"
        where = (
            f"schema {subject.schema!r} has no table {' and no table '.join(lacking)}"
            if subject.session["schema_exists"]
            else f"its schema {subject.schema!r} {what}"
        )
        remedy = f"Both tables are in schema {listed(others)}: name it with --schema." if others else (
            "Name another database, or the schema that holds campaigns and generated_domains with --schema."
        )  # fmt: skip
        subject.block(
            "not-a-campaign-database",
            f"{subject.session['database_name']!r} is not a campaign database: {where}",
            remedy,
        )
        return False
    for name, table in subject.tables.items():
        subject.columns[name] = {row["name"]: row for row in await subject.fetch("list_columns", table["oid"])}
    return True


def check_tables(subject: Subject) -> None:
    """Ordinary tables, room for more columns, no inheritance."""
    for name, table in subject.tables.items():
        kind = table["kind"]
        if kind in KINDS and (kind != "p" or name == "campaigns"):
            subject.block(
                "table-kind",
                f"{name} is {KINDS[kind]}",
                f"This migration needs {name} to be an ordinary table.",
                [name],
            )
            subject.counts_rows = subject.counts_rows and kind == "p"
        elif kind == "p":
            subject.warn(
                "partitioned",
                f"{name} is partitioned: indexes are built partition by partition; what is attached or detached later is"
                " not counted until somebody says so",
                "After ATTACH PARTITION: SELECT campaign_metrics_cover_partitions(). flows.validate recounts.",
                [name],
            )
        elif table["is_in_a_tree"]:
            subject.block(
                "inheritance",
                f"{name} is part of an inheritance tree or is itself a partition: what is written to its relatives is not seen",
                "Take it out of the tree first (ALTER TABLE ... NO INHERIT, DETACH PARTITION).",
                [name],
            )
        if name == "campaigns" and table["row_type"]:
            subject.block(
                "typed-table",
                f"{name} is a table OF {table['row_type']}, to which PostgreSQL adds no column",
                f"ALTER TABLE {name} NOT OF: its columns stay as they are.",
                [name],
            )
        if table["foreign_partitions"]:
            subject.block(
                "foreign-partition",
                f"{name} has foreign tables among its partitions or children: {listed(table['foreign_partitions'])}",
                "They carry neither triggers nor indexes of ours: detach them (DETACH PARTITION, NO INHERIT).",
                table["foreign_partitions"],
            )
            # What they hold may not even be reachable.
            subject.counts_rows = False
        if name == "campaigns" and table["last_column_number"] >= COLUMN_WARNING:
            note = subject.block if table["last_column_number"] >= COLUMN_LIMIT else subject.warn
            note(
                "column-numbers",
                f"{name} has used {table['last_column_number']:,} of at most 1,600 column numbers, dropped ones included",
                "Rebuild the table (CREATE TABLE ... LIKE, copy, rename) before it is migrated.",
            )
        if table["transaction_age"] > AGE_WARNING:
            subject.warn(
                "transaction-age",
                f"{name} is {table['transaction_age']:,} transactions old: a vacuum against wraparound will start soon",
                f"VACUUM (FREEZE) {name} beforehand.",
            )


async def check_row_type(subject: Subject) -> None:
    """Columns of the row type of campaigns keep it from getting the phases columns."""
    if subject.state is not State.LEGACY:
        return
    found = [row["description"] for row in await subject.fetch("find_row_type_columns", subject.campaigns_oid)]
    if found:
        subject.block(
            "row-type-column",
            f"columns are of the row type of campaigns, and PostgreSQL then adds no column to it: {listed(found)}",
            "Change their type first, to jsonb (to_jsonb of the row) for one.",
            found,
        )


def check_columns(subject: Subject) -> None:
    """Every column that this migration reads is there, with a type that it understands."""
    contracted = subject.state in {State.CONTRACTED, State.MIGRATED}
    for table, wanted in catalog.REQUIRED_COLUMNS.items():
        for name, kind in wanted.items():
            if name in catalog.LEGACY_COLUMNS and contracted:
                continue
            if name not in subject.columns[table]:
                subject.block(
                    "missing-column",
                    f"{table} has no column {name} ({kind})",
                    "Add it, or name the right schema with --schema: this migration reads it.",
                    [f"{table}.{name}"],
                )
                subject.counts_rows = False
            else:
                _check_type(subject, table, name, kind)
    for table, optional in catalog.OPTIONAL_COLUMNS.items():
        for name, kind in optional.items():
            if name in subject.columns[table]:
                _check_type(subject, table, name, kind)


def _check_type(subject: Subject, table: str, name: str, kind: catalog.Kind) -> None:
    column = subject.columns[table][name]
    fits = column["type"] == "uuid" if kind == "uuid" else column["category"] in catalog.CATEGORIES[kind]
    if not fits:
        subject.block(
            "column-type",
            f"{table}.{name} is {column['type']}, this migration needs {kind}",
            "Change its type first.",
            [f"{table}.{name}"],
        )
        subject.counts_rows = False
    elif table == "generated_domains" and column["hides_enum"]:
        subject.block(
            "column-domain-over-enum",
            f"{table}.{name} is of the domain {column['type']} over an enum, which PostgreSQL compares with nothing:"
            " no index and no count of ours could say = 'ok'",
            f"Give the column the enum itself (ALTER TABLE {table} ALTER {name} TYPE ...); no row is rewritten.",
            [f"{table}.{name}"],
        )
        subject.counts_rows = False
    elif name in catalog.LEGACY_COLUMNS and table == "campaigns" and column["domain_rules"]:
        rules = column["domain_rules"].split(" and ")
        subject.block(
            "column-domain",
            f"{table}.{name} is of the domain {column['type']}, which has a {' and '.join(rules)} of its own:"
            " on the way back the column could not come empty and be filled with each row's own value",
            f"Say it of the column instead (ALTER TABLE {table} {', '.join(f'ALTER {name} SET {rule}' for rule in rules)});"
            f" then ALTER DOMAIN {column['type']} {' and '.join(f'DROP {rule}' for rule in rules)}. No row is rewritten.",
            [f"{table}.{name}"],
        )
    elif name in catalog.LEGACY_COLUMNS and table == "campaigns" and column["is_computed"]:
        subject.block(
            "column-computed",
            f"{table}.{name} is a generated column",
            "Make it an ordinary one first.",
            [f"{table}.{name}"],
        )


async def find_users(subject: Subject) -> None:
    """The table that campaigns.user_id points to."""
    if not subject.has_column("user_id"):
        return
    found = await subject.fetch("find_users_tables", subject.campaigns_oid, subject.schema)
    names = sorted({row["name"] for row in found})
    if len(names) > 1:
        subject.block(
            "users-table-ambiguous",
            f"{counted(len(names), 'table')} could hold the users of campaigns.user_id: {listed(names)}",
            "Add the foreign key from campaigns.user_id to the right one (NOT VALID will do).",
            names,
        )
    elif not names:
        subject.block(
            "users-table-missing",
            "no users table: campaigns.user_id has no foreign key, and there is neither public.users nor auth.users",
            "Add the foreign key from campaigns.user_id to the table that holds the users.",
        )
    elif not found[0]["is_readable"] or found[0]["is_filtered"]:
        subject.block(
            "users-table-rights",
            f"role {subject.session['role_name']} may not read all of {names[0]}",
            f"GRANT SELECT ON {names[0]} TO {subject.session['role_name']} (and USAGE on its schema).",
        )
    else:
        subject.users = found[0]
        subject.users_table = names[0]
