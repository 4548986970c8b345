"""The ground that a run is killed on: a template with its copies, what undisturbed runs make of one, and ways to strike."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.core import core_migrations, rollback, run, sql_files, state, transform
from tasks.core.database import Database, connect
from tasks.core.models import State
from tasks.core.progress import unheard
from tasks.core.sample import build_sample_database, create_database, drop_database
from tasks.core.server import PostgresServer
from tasks.core.settings import MigrateParameters, RollbackParameters
from tests.kill.driven import Driven, Work
from tests.kill.picture import assert_same, assert_sound, picture, picture_of_application

# Does something to the driver's child, which stands at a point, so that its work ends.
Blow = Callable[[Driven, Database], Awaitable[None]]

# What real databases add, so that every step has something to do: readers of the legacy columns, names of ours that are
# taken, results beside the domains' own statuses, a trigger that stamps, a foreign key twice.
RICH = """
    CREATE VIEW active_by_user AS SELECT user_id, count(*) AS campaigns FROM active_campaigns_view GROUP BY user_id;
    CREATE MATERIALIZED VIEW campaigns_by_status AS SELECT status, count(*) AS campaigns FROM campaigns GROUP BY status;
    CREATE UNIQUE INDEX campaigns_by_status_key ON campaigns_by_status (status);
    ALTER TABLE campaigns ADD CONSTRAINT campaigns_progress_check CHECK (progress_percentage <= 100.5);
    CREATE INDEX idx_domains_lead_ranking ON generated_domains USING hash (tld);
    CREATE FUNCTION stamp_domain() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.last_validated_at := now(); RETURN NEW; END';
    CREATE TRIGGER stamp_domains BEFORE UPDATE ON generated_domains FOR EACH ROW EXECUTE FUNCTION stamp_domain();
    ALTER TABLE generated_domains ADD CONSTRAINT same_again
        FOREIGN KEY (domain_generation_campaign_id) REFERENCES campaigns (id) ON DELETE CASCADE;
"""
PLANTED = [sql_files.SQL_DIRECTORY / "sample" / f"plant_{name}.sql" for name in ("dependents", "validation_results")]
SAMPLE: dict[str, Any] = {"campaigns": 60, "domains": 1_500, "seed": 7}
VERSION_TABLE = """
    CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
    INSERT INTO schema_migrations VALUES (34, false);
"""
VERSIONS = {
    State.LEGACY: {34}, State.DUAL: {34}, State.CONTRACTED: {35}, State.MIGRATED: {36}, State.RETURNING: {36, 35, 34},
}  # fmt: skip
OUR_SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'campaign-phases%'"
)

# A point in each step of the way up, in order; what only rich databases have stands in RICH_UP. And of the way back.
RICH_UP = [
    "-- A run begins",
    "ALTER INDEX public.idx_campaigns_workflow_primary RENAME",
    "SELECT migration_backup_campaigns()",
    "COMMIT of SELECT migration_expand_columns()",
    "SELECT migration_refuse_unknown_values()",
    "COMMIT of SELECT migration_install_metrics()",
    "SELECT migration_count_metrics()",
    "COMMIT of SELECT last_id, filled",
    "SELECT migration_forget_deleted()",
    "COMMIT of SELECT migration_status_keep_rows()",
    "COMMIT of SELECT migration_status_apply",
    "DROP TRIGGER zzz_migration_keep_domain",
    "COMMIT of SELECT migration_add_checks()",
    "SELECT migration_validate_checks()",
    "COMMIT of CREATE OR REPLACE VIEW public.active_campaigns_view",
    "CREATE UNIQUE INDEX campaigns_by_status_key__rebuilt",
    'COMMIT of ALTER MATERIALIZED VIEW public."campaigns_by_status" RENAME',
    "CREATE INDEX CONCURRENTLY idx_campaigns_phase_transitions",
    "COMMENT ON INDEX idx_campaigns_user_dashboard",
    "CREATE INDEX CONCURRENTLY idx_domains_campaign_leads",
    "ALTER TABLE public.generated_domains DROP CONSTRAINT same_again",
    "DROP INDEX CONCURRENTLY idx_generated_domains_campaign_offset_valid",
    "REINDEX INDEX CONCURRENTLY public.idx_generated_domains_validation",
    "COMMIT of -- 000035",
    "COMMIT of -- Indexes for queries by phase",
    "VACUUM (ANALYZE) generated_domains",
]
ONLY_RICH = ("RENAME", "REINDEX", "status_", "keep_domain", "active_campaigns_view", "by_status", "same_again")
UP = [label for label in RICH_UP if not any(word in label for word in ONLY_RICH)]
BACK = ["COMMIT of -- Takes back what 000036", "-- 000035 back", "COMMIT of -- 000035 back", "ANALYZE campaigns"]
RICH_BACK = [
    "SELECT migration_prepare_return()",
    "COMMIT of SELECT migration_return_columns()",
    "COMMIT of SELECT last_id, filled",
    "COMMIT of SELECT migration_return_checks()",
    "SELECT migration_validate_returned()",
    "CREATE INDEX CONCURRENTLY idx_campaigns_user_status",
    "COMMIT of SELECT migration_return_settings()",
    "COMMIT of SELECT migration_status_keep_rows()",
    "COMMIT of SELECT restored, kept",
    "ALTER TABLE public.generated_domains VALIDATE CONSTRAINT same_again",
    "CREATE INDEX CONCURRENTLY idx_generated_domains_campaign_offset_valid",
    "COMMIT of CREATE OR REPLACE VIEW public.active_campaigns_view",
    "DROP INDEX CONCURRENTLY public.idx_campaigns_workflow_primary",
    *BACK[:3],
    "-- Nothing of ours is left",
    BACK[3],
]
# Where a run is given up before it is taken back.
GIVEN_UP_AT = {
    "not expanded": "COMMIT of SELECT migration_expand_columns()",
    "expanded": "SELECT migration_install_metrics()",
    "counted": "COMMIT of SELECT last_id, filled",
    "dual": "COMMIT of SELECT migration_add_checks()",
    "half indexed": "CREATE INDEX CONCURRENTLY idx_domains_lead_ranking",
    "contracted": "COMMIT of -- Indexes for queries by phase",
    "migrated": None,
}


async def sigkill(driven: Driven, database: Database) -> None:
    with contextlib.suppress(ProcessLookupError):  # one that did not wait at its point was quicker
        driven.send(signal.SIGKILL)


async def sigterm(driven: Driven, database: Database) -> None:
    driven.send(signal.SIGTERM)


async def sigint(driven: Driven, database: Database) -> None:
    driven.send(signal.SIGINT)


async def terminate(driven: Driven, database: Database) -> None:
    """An administrator's pg_terminate_backend for every session of the run."""
    async with connect(database) as connection:
        await connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM ({OUR_SESSIONS}) AS s WHERE pid <> pg_backend_pid()"
        )
    driven.send(signal.SIGUSR1)


def crash_of(server: PostgresServer) -> Blow:
    async def crash(driven: Driven, database: Database) -> None:
        await asyncio.to_thread(server.restart, "immediate")
        # Another of its sessions may have told it already, and ended it.
        with contextlib.suppress(ProcessLookupError):
            driven.send(signal.SIGUSR1)

    return crash


@dataclass
class Ground:
    """A server with a template, and what undisturbed runs make of a copy of it."""

    server: Database
    template: str
    made: list[str] = field(default_factory=list)
    points: dict[Work, int] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    legacy: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def prepare(cls, server: Database, driven: Driven, *, rich: bool = False) -> Ground:
        """Build the template on a server and let two undisturbed runs, there and back, say what is to be expected."""
        template = await create_database(server, f"kill_template_{uuid.uuid4().hex[:8]}")
        await build_sample_database(template, **SAMPLE)
        async with connect(template) as connection:
            await connection.execute(VERSION_TABLE)
            for text in [*map(sql_files.read, PLANTED), RICH] if rich else []:
                await connection.execute(text)
        ground = cls(server, template.database)
        undisturbed = await ground.copy()
        ground.legacy = await picture_of_application(undisturbed)
        await driven.begin(undisturbed, "migrate")
        ended = await driven.ended()
        assert "done" in ended, ended
        ground.points["migrate"] = len(driven.points)
        ground.expected = await picture(undisturbed)
        async with connect(undisturbed) as connection:
            await assert_sound(connection)
        await driven.begin(undisturbed, "rollback")
        ended = await driven.ended()
        assert "done" in ended, ended
        ground.points["rollback"] = len(driven.points)
        assert_same(ground.legacy, await picture_of_application(undisturbed))
        return ground

    async def copy(self) -> Database:
        database = await create_database(self.server, f"kill_{uuid.uuid4().hex[:12]}", template=self.template)
        self.made.append(database.database)
        return database

    async def tidy(self) -> None:
        while self.made:
            await drop_database(self.server, self.made.pop())


async def migrate(database: Database) -> None:
    """What an operator does after a kill: start it again."""
    parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "again"):
        await transform.transform(database, parameters, run_id, unheard)
        await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)


async def go_back(database: Database) -> None:
    parameters, run_id = RollbackParameters(mode="apply", confirm=database.database), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "again"):
        await rollback.roll_back(database, parameters, run_id, unheard)


async def strike(
    driven: Driven, database: Database, work: Work, point: int | str, blow: Blow, *, during: bool = False
) -> dict[str, Any]:
    """Let a child work up to a point, hit it there, and see that what it left makes sense.

    Returns: how it ended, and whether it was `struck`: it may not come to a point that lies near its end.
    """
    await driven.begin(database, work, stop_at=point, during=during)
    event = await driven.until("point", "done", "error")
    if "point" not in event:
        return {**await driven.ended(), "struck": False}
    await blow(driven, database)
    ended = await driven.ended()
    await assert_version_tells_the_truth(database)
    return {**ended, "struck": True}


async def assert_version_tells_the_truth(database: Database) -> None:
    """golang-migrate's table is never dirty and says what the catalog says, at any moment."""
    async with connect(database) as connection, connection.transaction(isolation="repeatable_read"):
        found = await state.read_state(connection)
        version = await connection.fetchrow("SELECT version, dirty FROM schema_migrations")
        assert version is not None
        assert not version["dirty"]
        assert version["version"] in VERSIONS[found], found


async def assert_as_undisturbed(database: Database, ground: Ground, what: str = "") -> None:
    assert_same(ground.expected, await picture(database), what)
    async with connect(database) as connection:
        await assert_sound(connection)
        assert await connection.fetchval("SELECT count(*) FROM migration_runs WHERE outcome = 'running'") == 0
