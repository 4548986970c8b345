"""The SQL files of this project: finding, splitting and fingerprinting them.

A file is split on PostgreSQL's own grammar. A *block* is a marked part of a file that other files repeat or that the
pipeline runs by itself: from `-- block: NAME` to `-- end block: NAME`.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path

import postgast

SQL_DIRECTORY = Path(__file__).resolve().parents[2] / "sql"
MIGRATIONS = SQL_DIRECTORY / "migrations"
SCRIPTS = SQL_DIRECTORY / "scripts"
QUERIES = SQL_DIRECTORY / "queries"

_BLOCK = re.compile(
    r"^-- block: (?P<name>[a-z0-9_]+)\n(?P<body>.*?)^-- end block: (?P=name)$", re.DOTALL | re.MULTILINE
)


@lru_cache
def read(path: Path) -> str:
    """The text of an SQL file."""
    return path.read_text(encoding="utf-8")


def query(name: str) -> str:
    """The one statement of `sql/queries/<name>.sql`."""
    return read(QUERIES / f"{name}.sql")


def script(name: str) -> str:
    """The text of `sql/scripts/<name>.sql`."""
    return read(SCRIPTS / f"{name}.sql")


def migration(version: int, direction: str) -> str:
    """The text of the migration with this number; `direction` is up or down."""
    (path,) = MIGRATIONS.glob(f"{version:06d}_*.{direction}.sql")
    return read(path)


def statements(text: str) -> list[str]:
    """The single statements of a text, in order, as psql would send them one by one."""
    return [part.strip() for part in postgast.split(text) if part.strip()]


def blocks(text: str) -> dict[str, str]:
    """The marked blocks of a text, by name."""
    return {match["name"]: match["body"] for match in _BLOCK.finditer(text)}


def fingerprints() -> dict[str, str]:
    """The sha256 of each SQL file that a run may execute, by its path below sql/."""
    paths = sorted([*MIGRATIONS.glob("*.sql"), *SCRIPTS.glob("*.sql"), *QUERIES.glob("**/*.sql")])
    return {str(path.relative_to(SQL_DIRECTORY)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
