"""The manifest of a backup: what it consists of, and whether it is still as it was made."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from tasks.core import errors
from tasks.core.models import BackupManifest

MANIFEST = "manifest.json"
CHUNK_BYTES = 1024 * 1024


def fingerprint_files(directory: Path) -> dict[str, str]:
    """The sha256 of each file below a directory but the manifest, by its path relative to it."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / MANIFEST)
    return {path.relative_to(directory).as_posix(): _sha256(path) for path in paths}


def size_of(directory: Path) -> int:
    """Bytes of all files below a directory but the manifest."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST)


def write_manifest(directory: Path, manifest: BackupManifest) -> None:
    """Write the manifest into the backup that it describes."""
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def page(manifest: BackupManifest) -> str:
    """What was backed up and how it can be relied on, in markdown."""
    listed = (
        "complete to its last line"
        if manifest.format == "plain"
        else "read back by pg_restore, every table has its data"
    )
    checked = "restored into a scratch database and compared" if manifest.restore_checked else listed
    lines = [
        f"# {manifest.bytes / 1e6:,.1f} MB in {manifest.seconds:.1f} s",
        "",
        f"`{manifest.directory}`, format {manifest.format}, {checked}.",
        f"PostgreSQL {manifest.server_version}, pg_dump {manifest.pg_dump_version}, snapshot {manifest.snapshot}.",
        f"`flows.rollback --from-backup {manifest.directory}` restores it beside the database.",
        "",
        "| table | rows |",
        "|---|---:|",
        *(f"| {name} | {rows:,} |" for name, rows in manifest.row_counts.items()),
        "",
        "| file | sha256 |",
        "|---|---|",
        *(f"| {name} | `{fingerprint}` |" for name, fingerprint in manifest.files.items()),
    ]
    return "\n".join(lines) + "\n"


def verify_backup(directory: Path) -> BackupManifest:
    """Read the manifest of a backup and compare every file with it.

    Returns:
        The manifest, with `directory` set to where the backup stands now.

    Raises:
        BackupDamaged: names the first file that is missing, changed or too many, or the manifest itself.
    """
    manifest = _read_manifest(directory)
    present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()} - {MANIFEST}
    for name, recorded in sorted(manifest.files.items()):
        if name not in present:
            raise errors.BackupDamaged(directory=directory, file=name, reason="it is missing")
        try:
            found = _sha256(directory / name)
        except OSError as error:
            reason = f"it cannot be read ({error.strerror or error})"
            raise errors.BackupDamaged(directory=directory, file=name, reason=reason) from error
        if found != recorded:
            reason = f"its sha256 is {found}, recorded was {recorded}"
            raise errors.BackupDamaged(directory=directory, file=name, reason=reason)
    for name in sorted(present - manifest.files.keys()):
        raise errors.BackupDamaged(directory=directory, file=name, reason="the manifest does not know it")
    return manifest.model_copy(update={"directory": str(directory)})


def _read_manifest(directory: Path) -> BackupManifest:
    try:
        text = (directory / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
        raise errors.BackupDamaged(directory=directory, file=MANIFEST, reason=reason) from error
    try:
        return BackupManifest.model_validate_json(text)
    except ValidationError as error:
        reason = f"it is not a manifest ({error.error_count()} errors, first: {error.errors()[0]['msg']})"
        raise errors.BackupDamaged(directory=directory, file=MANIFEST, reason=reason) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
