"""What locks.under_lock sends in one message, in its parts again."""

from __future__ import annotations

import re

COMMIT_UNDER_LOCK = "\n;\nCOMMIT;\n"
LOCKS = re.compile(r"^(LOCK TABLE [^;]*;\n|SELECT set_config\('migration.locked_at'[^;]*;\n)+")


def parts(message: str) -> list[str]:
    """The locks with their statements, and the commit with what follows it; anything else as it is."""
    locked, commit, rest = message.partition(COMMIT_UNDER_LOCK)
    return [locked, commit.lstrip("\n;") + rest] if commit else [message]


def without_locks(part: str) -> str:
    """The statements without the LOCK TABLE ahead of them."""
    return LOCKS.sub("", part)
