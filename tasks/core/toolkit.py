"""The migration's own SQL functions, put into the database from the file that defines them."""

from __future__ import annotations

from tasks.core import sql_files
from tasks.core.database import Connection
from tasks.core.settings import MigrateParameters

# Not the check for dependents: they are moved while both models live, and 000035 looks again.
BLOCKS = ("guard", "mappings", "keep_row", "toolkit")


async def install(connection: Connection) -> None:
    """Check that nothing is in the way and create the functions, in one transaction."""
    blocks = sql_files.blocks(sql_files.script("migrate-campaign-data"))
    await connection.execute("\n".join(blocks[name] for name in BLOCKS))


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
