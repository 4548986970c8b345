"""Where pg_dump, pg_restore and psql are, in a version that fits the server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tasks.core import errors
from tasks.core.server_installation import embedded_bin_directory

DEBIAN_INSTALLATIONS = Path("/usr/lib/postgresql")


def find_client_binary(name: str, server_major: int, *, needs_tls: bool = False) -> Path:
    """The first fitting `name` on PATH, then among Debian's versions, then in the embedded wheel.

    A client may be newer than the server, never older: pg_dump refuses, and so do we, before anything is begun.

    Args:
        name: such as "pg_dump".
        server_major: the server's major version, such as 17.
        needs_tls: the wheel's clients are built without TLS, so they are passed over.

    Raises:
        ClientBinaryTooOld: there are only older ones; it names the newest.
        ClientBinaryMissing: there is none.
    """
    newest: tuple[int, Path] | None = None
    for path in _candidates(name, needs_tls=needs_tls):
        major = _major(path)
        if major is None:
            continue
        if major >= server_major:
            return path
        if newest is None or major > newest[0]:
            newest = (major, path)
    if newest is not None:
        raise errors.ClientBinaryTooOld(name=name, path=newest[1], version=newest[0], server_major=server_major)
    raise errors.ClientBinaryMissing(name=name, server_major=server_major)


def _candidates(name: str, *, needs_tls: bool) -> Iterator[Path]:
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)
    installed = [path for path in DEBIAN_INSTALLATIONS.glob(f"*/bin/{name}") if path.parts[-3].isdigit()]
    yield from sorted(installed, key=lambda path: int(path.parts[-3]), reverse=True)
    if not needs_tls:
        try:
            embedded = embedded_bin_directory() / name
        except errors.ServerStartFailed:
            return  # an installation without the wheel has what PATH offers
        if embedded.exists():
            yield embedded


def _major(path: Path) -> int | None:
    """Major version that the program says it has; None if it does not run."""
    try:
        printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    matched = re.search(r"\) (\d+)", printed)
    return int(matched.group(1)) if matched else None
