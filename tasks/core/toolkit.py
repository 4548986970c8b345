"""The migration's own SQL functions, put into the database from the file that defines them."""

from __future__ import annotations

from tasks.core import sql_files
from tasks.core.database import Connection
from tasks.core.settings import MigrateParameters

# Not the check for dependents: they are moved while both models live, and 000035 looks again.
BLOCKS = ("guard", "mappings", "keep_row", "phases_columns", "toolkit")


async def install(connection: Connection) -> None:
    """Check that nothing is in the way and create the functions, in one transaction."""
    blocks = sql_files.blocks(sql_files.script("migrate-campaign-data"))
    await connection.execute("\n".join(blocks[name] for name in BLOCKS))


async def create_record(connection: Connection) -> None:
    """Create the table of what was changed, for what is changed before the rest is there."""
    statements = sql_files.statements(sql_files.blocks(sql_files.script("migrate-campaign-data"))["toolkit"])
    for statement in statements:
        if any(
            f"{words} migration_saved_objects" in statement for words in ("TABLE IF NOT EXISTS", "COMMENT ON TABLE")
        ):
            await connection.execute(statement)


async def hand_over(connection: Connection) -> None:
    """Give what was made since to the owner of campaigns, and take what PUBLIC was given by default privileges."""
    await connection.execute(sql_files.blocks(sql_files.script("rollback-data"))["hand_over"])


async def add_mappings(connection: Connection, parameters: MigrateParameters) -> None:
    """Write the parameters' own mappings where the mapping functions read them."""
    wanted: list[tuple[str, bool, str, str]] = [
        *(("current_phase", False, value, phase) for value, phase in parameters.map_campaign_type.items()),
        *(("phase_status", False, value, status) for value, status in parameters.map_status.items()),
    ]
    if parameters.map_null_campaign_type is not None:
        wanted.append(("current_phase", True, "", parameters.map_null_campaign_type))
    if parameters.map_null_status is not None:
        wanted.append(("phase_status", True, "", parameters.map_null_status))
    if wanted:
        await connection.executemany(sql_files.query("upsert_custom_mapping"), wanted)
