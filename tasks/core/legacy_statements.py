"""Who still uses the legacy columns: live statements, from pg_stat_statements, found by PostgreSQL's own parser.

pg_stat_statements counts calls and does not say when the last one was. So every look is written down, and a statement
counts as seen in the last N hours if its calls rose since the newest look that is at least N hours old. Without such a look
nothing is known about its age, and it counts as seen.
"""

from __future__ import annotations

import postgast
from postgast.pg_query_pb2 import InsertStmt, UpdateStmt
from pydantic import Field

from tasks.core import errors, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.models import Model
from tasks.core.settings import MigrateParameters

LEGACY_COLUMNS = frozenset({"campaign_type", "launch_sequence"})
# `status` is also a column of other tables, so it counts only in a statement that names campaigns.
AMBIGUOUS_COLUMN = "status"
EXAMPLES = 5


class LegacyStatement(Model):
    """A statement that names a legacy column."""

    query: str
    calls: int
    new_calls: int  # since the look it is compared with
    role: str


class StatementReport(Model):
    """What pg_stat_statements knows; `available` is False where it is not there or may not be read."""

    available: bool
    statements: list[LegacyStatement] = Field(default_factory=list)


async def look(database: Database, schema: str, *, hours: float, record: bool) -> StatementReport:
    """Find the statements on this database that name legacy columns and were run in the last `hours`.

    Args:
        record: write this look down for later ones to compare with (needs the right to create a table).
    """
    async with connect(database, schema=schema, purpose="legacy statements") as connection:
        if not await connection.fetchval(sql_files.query("has_statement_statistics")):
            return StatementReport(available=False)
        if record:
            await connection.execute(sql_files.query("create_statement_looks"))
        kept = await connection.fetchval("SELECT to_regclass(format('%I.migration_statement_looks', current_schema()))")
        rows = await connection.fetch(sql_files.query("list_statements"))
        earlier = await _earlier_calls(connection, hours) if kept else {}
        found = [row for row in rows if names_legacy_columns(row["query"])]
        if record:
            await connection.executemany(
                sql_files.query("insert_statement_look"),
                [(row["userid"], row["queryid"], row["calls"]) for row in found],
            )
    statements = []
    for row in found:
        before = earlier.get((row["userid"], row["queryid"]), 0)
        fresh = row["calls"] - before if row["calls"] >= before else row["calls"]  # the statistics were reset
        if fresh > 0:
            statements.append(
                LegacyStatement(query=row["query"], calls=row["calls"], new_calls=fresh, role=str(row["role"]))
            )
    return StatementReport(available=True, statements=sorted(statements, key=lambda found: -found.new_calls))


def require_silence(report: StatementReport, parameters: MigrateParameters) -> None:
    """Let the contract go ahead if nobody uses the legacy columns any more, or if that was accepted.

    Raises:
        LegacyStatementsSeen: names the statements most often run.
    """
    if report.statements and not parameters.accept_legacy_statements:
        raise errors.LegacyStatementsSeen(
            count=len(report.statements),
            hours=parameters.legacy_statement_hours,
            examples="; ".join(
                f"{found.new_calls}x by {found.role}: {' '.join(found.query.split())[:100]}"
                for found in report.statements[:EXAMPLES]
            ),
        )


def names_legacy_columns(query: str) -> bool:
    """Whether a normalised statement reads or writes a legacy column of campaigns; ours do not count."""
    if "migration_" in query or "campaign" not in query:
        return False
    try:
        tree = postgast.parse(query)
    except postgast.PgQueryError:
        return False  # cut off by track_activity_query_size, or a utility statement of a newer server
    if not {table.rpartition(".")[2] for table in postgast.extract_tables(tree)} & {"campaigns"}:
        return False
    columns = {column.rpartition(".")[2] for column in postgast.extract_columns(tree)}
    # What INSERT and UPDATE write stands in no column reference.
    written = [target for insert in postgast.find_nodes(tree, InsertStmt) for target in insert.cols]
    written += [target for update in postgast.find_nodes(tree, UpdateStmt) for target in update.target_list]
    columns |= {target.res_target.name for target in written}
    return bool(columns & (LEGACY_COLUMNS | {AMBIGUOUS_COLUMN}))


async def _earlier_calls(connection: Connection, hours: float) -> dict[tuple[int, int], int]:
    rows = await connection.fetch(sql_files.query("list_earlier_looks"), hours)
    return {(row["userid"], row["queryid"]): row["calls"] for row in rows}
