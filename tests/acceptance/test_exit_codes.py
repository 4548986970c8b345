"""flows.migrate and its kin from a shell: one message, an exit code that scripts can rely on, and a report every time."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from tasks.core import sql_files
from tasks.core.database import Database, connect
from tasks.core.run import lock_key
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import PostgresServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--benchmark-rounds", "5", "--clone-limit-gb", "0"]


LOSE_THE_INDEXES = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT i.indexrelid::regclass AS name, k.conname FROM pg_index AS i
        LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype = 'u'
        WHERE i.indrelid = 'generated_domains'::regclass AND NOT i.indisprimary
    LOOP
        IF one.conname IS NULL THEN EXECUTE format('DROP INDEX %s', one.name);
        ELSE EXECUTE format('ALTER TABLE generated_domains DROP CONSTRAINT %I', one.conname);
        END IF;
    END LOOP;
END $$
"""


@dataclass
class Shell:
    """Runs flows as an operator does, on databases of one server."""

    server: PostgresServer
    api_url: str
    directory: Path
    numbers: Iterator[int]

    def database(self) -> Database:
        """A new small legacy database."""
        return asyncio.run(
            create_database(self.server.database(), f"sample_{next(self.numbers)}", template="the_template")
        )

    def execute(self, database: Database, statement: str) -> None:
        async def work() -> None:
            async with connect(database) as connection:
                await connection.execute(statement)

        asyncio.run(work())

    def databases_named(self, beginning: str) -> list[str]:
        async def work() -> list[str]:
            async with connect(self.server.database()) as connection:
                query = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)"
                return [row["datname"] for row in await connection.fetch(query, beginning)]

        return asyncio.run(work())

    def columns(self, database: Database) -> set[str]:
        async def work() -> set[str]:
            async with connect(database) as connection:
                rows = await connection.fetch(
                    "SELECT attname FROM pg_attribute"
                    " WHERE attrelid = 'campaigns'::regclass AND attnum > 0 AND NOT attisdropped"
                )
                return {row["attname"] for row in rows}

        return asyncio.run(work())

    def run(self, module: str, database: str | Database, *flags: str, password: str | None = None) -> Finished:
        """`python -m MODULE`; `database` is one of the server's, or a URL."""
        name = database if isinstance(database, str) else self.server.url(database.database)
        reports = self.directory / f"reports-{next(self.numbers)}"
        done = subprocess.run(
            [sys.executable, "-m", module, "--database-url", name, "--report-directory", str(reports), *flags],
            cwd=ROOT,
            env={
                **os.environ,
                "PREFECT_API_URL": self.api_url,
                "PGPASSWORD": password or self.server.password.get_secret_value(),
            },
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        report = reports / "report.json"
        content = json.loads(report.read_text()) if report.exists() else None
        return Finished(done.returncode, done.stdout, done.stderr, content)


@dataclass
class Finished:
    """What became of a program."""

    code: int
    out: str
    err: str
    report: dict[str, Any] | None

    @property
    def outcome(self) -> str | None:
        return None if self.report is None else self.report["outcome"]

    def explained(self, code: int, outcome: str) -> bool:
        """Ended with this code and outcome, and without a traceback."""
        assert (self.code, self.outcome) == (code, outcome), self.out + self.err
        assert "Traceback" not in self.err
        return True


@pytest.fixture(scope="module")
def shell(prefect_harness: None) -> Iterator[Shell]:
    directory = Path(tempfile.mkdtemp(prefix="campaign-shell-"))
    directory.chmod(0o755)
    api_url = PREFECT_API_URL.value()
    assert api_url is not None
    settings = {"fsync": "off", "full_page_writes": "off"}  # nothing crashes it
    with PostgresServer.start(directory / "postgres", settings=settings) as server:
        template = asyncio.run(create_database(server.database(), "the_template"))
        asyncio.run(build_sample_database(template, campaigns=60, domains=3_000))
        yield Shell(server, api_url, directory, count(1))
    shutil.rmtree(directory, ignore_errors=True)


def test_a_plan_ends_with_0_and_changes_nothing(shell: Shell) -> None:
    database = shell.database()
    before = shell.columns(database)

    done = shell.run("flows.migrate", database)

    assert done.explained(0, "planned")
    assert "nothing was changed" in done.out
    assert done.report is not None
    assert len(done.report["plan"]) > 5
    assert shell.columns(database) == before


def test_migrating_looking_after_and_going_back_all_end_with_0(shell: Shell) -> None:
    database = shell.database()
    before = shell.columns(database)

    migrated = shell.run("flows.migrate", database, "--mode", "apply", "--benchmark-writes", *QUICK)
    assert migrated.explained(0, "succeeded")
    assert "Before and after" in migrated.out
    assert "user_campaign_dashboard" in migrated.out
    assert "campaign_type" not in shell.columns(database)

    assert shell.run("flows.migrate", database, "--mode", "apply").explained(0, "already_migrated")
    assert shell.run("flows.migrate", database, "--mode", "status").explained(0, "already_migrated")
    for module in ("flows.validate", "flows.maintain"):
        assert shell.run(module, database).explained(0, "succeeded")

    counted = shell.run("flows.rollback", database)
    assert counted.explained(0, "planned")
    assert "60 campaigns keep every legacy value" in counted.out
    unconfirmed = shell.run("flows.rollback", database, "--mode", "apply")
    assert unconfirmed.explained(2, "refused")
    assert f"--confirm {database.database}" in unconfirmed.err
    assert "campaign_type" not in shell.columns(database)

    back = shell.run("flows.rollback", database, "--mode", "apply", "--confirm", database.database)
    assert back.explained(0, "rolled_back")
    assert shell.columns(database) == before


def test_stopping_after_the_transform_rests_with_both_models_and_goes_on_later(shell: Shell) -> None:
    database = shell.database()

    resting = shell.run("flows.migrate", database, "--mode", "apply", "--stop-after", "transform", *QUICK)
    assert resting.explained(0, "succeeded")
    assert {"campaign_type", "current_phase"} <= shell.columns(database)

    assert shell.run("flows.migrate", database, "--mode", "apply", *QUICK).explained(0, "succeeded")
    assert "campaign_type" not in shell.columns(database)


def test_a_run_that_awaits_approval_ends_with_10_holds_nothing_and_goes_on_once_it_is_approved(shell: Shell) -> None:
    database = shell.database()
    asked = shell.run("flows.migrate", database, "--mode", "apply", "--require-approval", *QUICK)

    assert asked.explained(10, "awaiting_approval")
    assert f"--approve {database.database}" in asked.err
    assert asked.report is not None
    backup = asked.report["backup"]["directory"]
    assert {"campaign_type", "current_phase"} <= shell.columns(database)

    # Whoever comes meanwhile is told which run waits, and what can be done about it.
    other = shell.run("flows.migrate", database, "--mode", "apply")
    assert other.explained(6, "refused")
    assert asked.report["run_id"] in other.err
    assert "--abandon" in other.err

    done = shell.run("flows.migrate", database, "--mode", "apply", "--approve", database.database, *QUICK)
    assert done.explained(0, "succeeded")
    assert done.report is not None
    assert done.report["backup"]["directory"] == backup
    assert "by --approve" in done.report["extra"]["approved_by"]
    assert done.report["benchmark"]["headline"] is not None
    assert "campaign_type" not in shell.columns(database)


def test_a_server_that_does_not_answer_ends_with_3(shell: Shell) -> None:
    done = shell.run("flows.migrate", "postgresql://app@127.0.0.1:1/campaigns")

    assert done.explained(3, "failed")
    assert "No PostgreSQL server answers at 127.0.0.1:1" in done.err


def test_a_wrong_password_ends_with_3_and_is_not_repeated(shell: Shell) -> None:
    done = shell.run("flows.migrate", shell.database(), password="not-this-one")

    assert done.explained(3, "failed")
    assert "refused user 'postgres'" in done.err
    assert "not-this-one" not in done.out + done.err + json.dumps(done.report)


def test_a_database_that_is_not_there_ends_with_3(shell: Shell) -> None:
    done = shell.run("flows.migrate", shell.server.url("nowhere"))

    assert done.explained(3, "failed")
    assert "There is no database 'nowhere'" in done.err


def test_a_database_without_campaigns_ends_with_4(shell: Shell) -> None:
    done = shell.run("flows.migrate", shell.server.url("postgres"), "--mode", "apply")

    assert done.explained(4, "refused")
    assert "campaigns" in done.err


def test_an_unknown_status_ends_with_4_unless_it_is_mapped(shell: Shell) -> None:
    database = shell.database()
    shell.execute(
        database,
        """
        ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_status;
        UPDATE campaigns SET status = 'on hold' WHERE id = (SELECT min(id::text)::uuid FROM campaigns);
        """,
    )

    refused = shell.run("flows.migrate", database, "--mode", "apply")
    assert refused.explained(4, "refused")
    assert "on hold" in refused.err
    assert "current_phase" not in shell.columns(database)

    assert shell.run("flows.migrate", database, "--map-status", "on hold=paused").explained(0, "planned")


def test_a_second_run_beside_another_ends_with_6_and_names_it(shell: Shell) -> None:
    database = shell.database()

    async def beside() -> Finished:
        async with connect(database, purpose="the other run") as connection:
            await connection.fetchval("SELECT pg_advisory_lock($1)", lock_key("public"))
            return await asyncio.to_thread(shell.run, "flows.migrate", database, "--mode", "apply")

    done = asyncio.run(beside())

    assert done.explained(6, "refused")
    assert "the other run" in done.err


def test_a_missed_target_that_is_required_ends_with_7_and_leaves_the_migration(shell: Shell) -> None:
    database = shell.database()

    done = shell.run(
        "flows.migrate", database, "--mode", "apply", "--require-target", "--target-improvement", "99.99", *QUICK
    )

    assert done.explained(7, "failed")
    assert "99.99" in done.err or "100.0%" in done.err
    assert "campaign_type" not in shell.columns(database)


def test_a_failed_gate_takes_everything_back_where_that_is_asked_for(shell: Shell) -> None:
    database = shell.database()
    before = shell.columns(database)

    done = shell.run(
        "flows.migrate", database, "--mode", "apply", "--require-target", "--target-improvement", "99.99",
        "--on-failed-gate", "rollback", "--contacts.migration", "Grace, 555-0100", *QUICK,
    )  # fmt: skip

    assert done.explained(5, "rolled_back")
    assert "Everything was taken back" in done.err
    assert "Grace, 555-0100" in done.err
    assert shell.columns(database) == before


def test_a_legacy_database_can_be_validated_and_measured_but_not_maintained(shell: Shell) -> None:
    database = shell.database()

    assert shell.run("flows.validate", database).explained(0, "succeeded")
    measured = shell.run("flows.benchmark", database, *QUICK)
    assert measured.explained(0, "succeeded")
    assert "on the legacy model" in measured.out
    unmaintained = shell.run("flows.maintain", database)
    assert unmaintained.explained(4, "refused")
    assert "Run flows.migrate first" in unmaintained.err
    nothing = shell.run("flows.rollback", database, "--mode", "apply", "--confirm", database.database)
    assert nothing.explained(0, "rolled_back")
    assert "there is no migration to take back" in nothing.out


def test_the_quarterly_benchmark_finds_a_lost_index_and_fails_with_9_where_that_is_asked_for(shell: Shell) -> None:
    database = shell.database()
    for version in (35, 36):
        shell.execute(database, sql_files.migration(version, "up"))
    thorough = ["--benchmark-rounds", "12", "--clone-limit-gb", "0"]

    first = shell.run("flows.benchmark", database, *thorough)
    assert first.explained(0, "succeeded")
    assert "It is the first run on this model" in first.out
    shell.execute(database, LOSE_THE_INDEXES)
    told = shell.run("flows.benchmark", database, *thorough)
    assert told.explained(0, "succeeded")
    assert "regressions since" in told.out or "regression since" in told.out
    failed = shell.run("flows.benchmark", database, *thorough, "--fail-on-regression")
    assert failed.explained(9, "failed")
    assert "an index scan has become a sequential scan" in failed.err
    assert failed.report is not None
    assert len(failed.report["benchmark"]["trend"]["points"]) == 3
    assert failed.report["benchmark"]["trend"]["regressions"][0]["plan_change"] == "critical"


def test_a_backup_from_before_is_timed_beside_a_database_that_has_changed_since(shell: Shell, tmp_path: Path) -> None:
    database, backup = shell.database(), tmp_path / "backup"
    arguments = ("--mode", "apply", "--backup-directory", str(backup), *QUICK)
    assert shell.run("flows.migrate", database, *arguments).explained(0, "succeeded")
    shell.execute(database, "UPDATE campaigns SET name = name || ' of today'")

    done = shell.run("flows.benchmark", database, "--paired", "--before-backup", str(backup), *QUICK)

    assert done.explained(0, "succeeded")
    assert "not by TEMPLATE: it is the state of a backup" in done.out
    assert done.report is not None
    patterns = {one["name"]: one for one in done.report["benchmark"]["patterns"]}
    assert patterns["large_result_set"]["improvement_percent"] is not None
    assert "the answer was another one after" in patterns["large_result_set"]["note"]
    assert shell.databases_named(f"{database.database}_benchmark_") == []


@pytest.mark.large
def test_a_control_run_times_two_copies_in_turn_and_leaves_none(shell: Shell) -> None:
    database = shell.database()

    done = shell.run("flows.benchmark", database, "--paired", "--benchmark-rounds", "8")

    assert done.explained(0, "succeeded")
    assert "two copies of database" in done.out
    assert "show no difference, as it must" in done.out
    assert "timed in turn" in done.out
    assert shell.databases_named(f"{database.database}_benchmark_") == []


@pytest.mark.large
def test_a_run_that_finds_the_legacy_columns_gone_compares_with_what_was_measured_before(shell: Shell) -> None:
    database = shell.database()
    assert shell.run("flows.migrate", database, "--mode", "apply", *QUICK).explained(0, "succeeded")
    shell.execute(database, sql_files.migration(36, "down"))

    done = shell.run("flows.migrate", database, "--mode", "apply", *QUICK)

    assert done.explained(0, "succeeded")
    assert "benchmark-before completed" in done.out
    assert "as measured at" in done.out
    assert done.report is not None
    assert done.report["benchmark"]["headline"] is not None
