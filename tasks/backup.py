"""Step 2: a backup that has been read back. Without one nothing is changed."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from pathlib import Path

from tasks import publish, recorder
from tasks.core import backup as core
from tasks.core.backup_manifest import page
from tasks.core.database import Database
from tasks.core.errors import BackupDamaged
from tasks.core.models import BackupManifest
from tasks.core.settings import MigrateParameters
from tasks.steps import step

log = logging.getLogger("tasks.backup")


@step("backup")
async def make_backup(database: Database, parameters: MigrateParameters) -> BackupManifest:
    """Dump the database, verify the dump and publish its manifest.

    Raises:
        BackupFailed, BackupDamaged, ClientBinaryMissing, ClientBinaryTooOld, DirectoryUnusable: nothing was changed.
    """
    run = recorder.current_run()
    manifest = await _made_before_waiting(run)
    made_before = ", made before the run waited, and read back" if manifest is not None else ""
    if manifest is None:
        manifest = await core.make_backup(
            database,
            parameters.schema_name,
            backup_directory(run.directory, parameters),
            format=parameters.backup_format,
            restore_check=parameters.restore_check,
        )
    run.note(backup=manifest)
    run.detail(f"{manifest.bytes / 1e6:,.1f} MB in {manifest.directory}{made_before}")
    await publish.page("backup", page(manifest), "The backup: what it holds, and the fingerprints of its files")
    return manifest


async def _made_before_waiting(run: recorder.Recorder) -> BackupManifest | None:
    """The backup of the run that this one goes on with, if it is still as it was made: nothing is dumped twice."""
    directory = run.approval.waiting.backup_directory if run.approval is not None else None
    if directory is None:
        return None
    try:
        return await asyncio.to_thread(core.verify_backup, Path(directory))
    except BackupDamaged as error:
        log.warning("A new backup is made, as the one made before the run waited cannot be relied on: %s", error)
        return None


def backup_directory(report_directory: Path, parameters: MigrateParameters) -> Path:
    """Where the backup goes: as asked, else below the reports, beside the backups of earlier runs that report there."""
    if parameters.backup_directory is not None:
        return parameters.backup_directory
    names = (f"backup-{number}" if number > 1 else "backup" for number in count(1))
    return next(path for path in (report_directory / name for name in names) if not path.exists())
