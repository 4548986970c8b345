"""Indexes and foreign keys that this migration drops because another one does their work."""

from __future__ import annotations

from tasks.core.collisions import find_collisions
from tasks.core.duplicates import Duplicate, find_duplicates
from tasks.core.preflight.subject import Subject

MEGABYTE = 1024 * 1024


async def check_duplicates(subject: Subject) -> None:
    """Each one that would be dropped, with its size, its scans and the reason; nothing where they are to be kept."""
    if subject.parameters.keep_duplicates:
        return
    renamed = {one.name: one.new_name for one in await find_collisions(subject.connection) if one.kind == "index"}
    for one in await find_duplicates(subject.connection, renamed):
        subject.warn(
            f"duplicate-{one.kind.replace(' ', '-')}",
            f"{one.kind} {one.name} of {one.table_name} is superfluous{_measured(one)}: {one.reason}",
            "This run drops it and the way back makes it again; --keep-duplicates keeps it.",
            [one.name],
        )


def _measured(one: Duplicate) -> str:
    if one.kind != "index":
        return ""
    since = f"{one.counted_since:%Y-%m-%d}" if one.counted_since is not None else "statistics began"
    return f" ({one.bytes / MEGABYTE:,.1f} MB, {one.scans or 0:,} scans on this server since {since})"
