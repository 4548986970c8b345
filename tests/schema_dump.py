"""The schema of a database in pg_dump's words, without what is another one each time."""

from __future__ import annotations

import re
import subprocess

from tasks.core.client_binaries import find_client_binary
from tasks.core.database import Database

COLUMN_OPTIONS = re.compile(r"^(ALTER .* ALTER COLUMN .* SET )\((.*=.*)\);(\n+)", re.MULTILINE)


def schema_dump(database: Database) -> str:
    """pg_dump --schema-only, without its random marks and without the server's own numbers among a column's options."""
    text = subprocess.run(
        [str(find_client_binary("pg_dump", 18)), "--schema-only"],
        env=database.client_environment(), check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    text = COLUMN_OPTIONS.sub(_without_numbers_of_the_server, text)
    return "\n".join(line for line in text.splitlines() if "restrict " not in line)


def _without_numbers_of_the_server(found: re.Match[str]) -> str:
    # From 15.20 on, and in the other versions of that day, every column has one (pg_attver); an older pg_dump writes it out.
    kept = [option for option in found[2].split(", ") if not option.startswith("pg_")]
    return f"{found[1]}({', '.join(kept)});{found[3]}" if kept else ""
