"""Step 2: a backup that has been read back. Without one nothing is changed."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from tasks import publish, recorder
from tasks.core import backup as core
from tasks.core.database import Database
from tasks.core.models import BackupManifest
from tasks.core.settings import MigrateParameters
from tasks.steps import step


@step("backup")
async def make_backup(database: Database, parameters: MigrateParameters) -> BackupManifest:
    """Dump the database, verify the dump and publish its manifest.

    Raises:
        BackupFailed, BackupDamaged, ClientBinaryMissing, ClientBinaryTooOld, DirectoryUnusable: nothing was changed.
    """
    run = recorder.current_run()
    manifest = await core.make_backup(
        database,
        parameters.schema_name,
        backup_directory(run.directory, parameters),
        format=parameters.backup_format,
        restore_check=parameters.restore_check,
    )
    run.note(backup=manifest)
    run.detail(f"{manifest.bytes / 1e6:,.1f} MB in {manifest.directory}")
    await publish.models("backup", [manifest], "Backup manifest")
    return manifest


def backup_directory(report_directory: Path, parameters: MigrateParameters) -> Path:
    """Where the backup goes: as asked, else below the reports, beside the backups of earlier runs that report there."""
    if parameters.backup_directory is not None:
        return parameters.backup_directory
    names = (f"backup-{number}" if number > 1 else "backup" for number in count(1))
    return next(path for path in (report_directory / name for name in names) if not path.exists())
