"""What is in the tables, as figures that two databases can be compared by: row counts, and fingerprints of some."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core import sql_files
from tasks.core.database import Connection

# A row's text must not depend on a role's or a database's own settings.
STABLE_OUTPUT = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}


@dataclass(frozen=True)
class TableContents:
    """Rows of one table. The checksum adds up a hash of each row, so their order does not matter."""

    count: int
    checksum: str | None


async def read_contents(connection: Connection, schema: str) -> dict[str, TableContents]:
    """Count every table of the database, and fingerprint the campaign tables of `schema` and their users table.

    The connection has STABLE_OUTPUT set. Fingerprints compare within one major version of PostgreSQL.

    Returns:
        By schema-qualified name, quoted as SQL would.
    """
    marked = [row["name"] for row in await connection.fetch(sql_files.query("list_fingerprinted_tables"), schema)]
    found: dict[str, TableContents] = {}
    for table in await connection.fetch(sql_files.query("list_backed_up_tables"), marked):
        statement = table["checksum_statement"] if table["is_fingerprinted"] else table["count_statement"]
        row = await connection.fetchrow(statement)
        assert row is not None
        found[table["name"]] = TableContents(count=row["count"], checksum=row["checksum"])
    return found
