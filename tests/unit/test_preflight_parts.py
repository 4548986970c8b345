"""The parts of preflight and of the backup that need no server."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from tasks.core import catalog
from tasks.core.client_process import ClientFailed, run_client
from tasks.core.database import Database
from tasks.core.models import Finding, PreflightReport, State
from tasks.core.preflight import server, summary
from tasks.core.preflight.subject import Subject, counted, listed
from tasks.core.restore_check import connection_string, scratch_name
from tasks.core.settings import PHASE_STATUSES, PHASES, MigrateParameters

SESSION = {
    "version": "17.2",
    "version_number": 170002,
    "role_name": "migrator",
    "is_standby": False,
    "is_read_only": False,
    "schema_exists": True,
    "schema_usable": True,
    "schema_creatable": True,
    "sees_all_sessions": True,
}
VERSION_TABLE = {
    "kind": "r",
    "is_readable": True,
    "is_writable": True,
    "columns": ["version bigint not null", "dirty boolean not null"],
    "primary_key": "PRIMARY KEY (version)",
}


class Answers:
    """A connection that gives the answers it was made with, in order."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def fetch(self, _query: str, *_values: object) -> Any:
        return self.answers.pop(0)

    fetchrow = fetch


def subject(
    *answers: Any, state: State = State.LEGACY, session: dict[str, Any] | None = None, **values: Any
) -> Subject:
    database = Database(host="db.example", database="app", user="migrator", password=SecretStr("x"))
    found = cast("Any", {**SESSION, **(session or {})})
    made = Subject(cast("Any", Answers(*answers)), database, MigrateParameters(**values), found, for_apply=True)
    made.state = state
    return made


@pytest.mark.parametrize(
    ("session", "code", "words"),
    [
        ({"version": "13.9", "version_number": 130009}, "server-version", ["PostgreSQL 13.9", "14 to 18"]),
        ({"version": "19.0", "version_number": 190000}, "server-version", ["PostgreSQL 19.0", "14 to 18"]),
        ({"is_standby": True}, "standby", ["db.example:5432 is a standby", "primary"]),
        ({"is_read_only": True}, "read-only", ["migrator", "default_transaction_read_only = off"]),
        ({"schema_creatable": False}, "schema-rights", ["no CREATE right on schema public", "GRANT"]),
    ],
)
def test_a_server_or_role_that_will_not_do_is_refused_in_clear_words(
    session: dict[str, Any], code: str, words: list[str]
) -> None:
    looked_at = subject(session=session)
    server.check_server(looked_at)
    (found,) = looked_at.findings
    assert (found.code, found.severity) == (code, "blocker")
    for word in words:
        assert word in f"{found.message} {found.remedy}"


@pytest.mark.parametrize(
    ("rows", "state", "values", "expected"),
    [
        ([(34, False)], State.LEGACY, {}, []),
        ([(34, False)], State.DUAL, {}, []),
        ([(12, False)], State.LEGACY, {"expected_version": 12}, []),
        ([(34, False)], State.LEGACY, {"expected_version": 12}, ["version-other"]),
        ([(33, False)], State.LEGACY, {}, ["version-other"]),
        ([(35, False)], State.LEGACY, {}, ["version-ahead"]),
        ([(36, False)], State.DUAL, {}, ["version-ahead"]),
        ([(37, False)], State.CONTRACTED, {}, ["version-ahead"]),
        ([(35, False)], State.CONTRACTED, {}, []),
        ([(34, False)], State.CONTRACTED, {}, ["version-apart"]),
        ([(36, False)], State.MIGRATED, {}, []),
        ([(41, False)], State.MIGRATED, {}, []),
        ([(34, False)], State.MIGRATED, {}, ["version-behind"]),
        ([], State.MIGRATED, {}, []),
        ([], State.LEGACY, {}, ["version-none"]),
        ([(35, True)], State.CONTRACTED, {}, ["version-dirty"]),
        ([(34, False), (35, False)], State.LEGACY, {}, ["version-table-rows"]),
    ],
)
async def test_golang_migrates_version_is_judged_by_where_the_database_stands(
    rows: list[tuple[int, bool]], state: State, values: dict[str, Any], expected: list[str]
) -> None:
    looked_at = subject(VERSION_TABLE, [{"version": v, "dirty": d} for v, d in rows], state=state, **values)
    await server.read_version_table(looked_at)
    assert [finding.code for finding in looked_at.findings] == expected


async def test_the_remedy_for_a_dirty_version_follows_the_state_of_the_database() -> None:
    looked_at = subject(VERSION_TABLE, [{"version": 35, "dirty": True}], state=State.CONTRACTED)
    await server.read_version_table(looked_at)
    assert "`migrate force 35`" in looked_at.findings[0].remedy
    looked_at = subject(VERSION_TABLE, [{"version": 35, "dirty": True}], state=State.DUAL)
    await server.read_version_table(looked_at)
    assert "`migrate force 34`" in looked_at.findings[0].remedy


async def test_no_version_table_is_fine() -> None:
    looked_at = subject(None)
    await server.read_version_table(looked_at)
    assert looked_at.findings == []


def test_the_summary_names_the_first_blockers_with_keys_and_remedies() -> None:
    findings = [
        Finding(
            code="a", severity="blocker", message=f"thing {number} is wrong", remedy="Mend it.", keys=[f"k{number}"]
        )
        for number in range(7)
    ]
    warning = Finding(code="w", severity="warning", message="hmm", remedy="Look.")
    report = PreflightReport(
        state=State.LEGACY, server_version="17.2", server_version_num=170002, schema_name="public", users_table=None,
        campaigns=0, domains=0, migration_version=None, migration_dirty=False, findings=[*findings, warning], census=[],
    )  # fmt: skip
    text = summary(report)
    assert text.startswith("\n- Thing 0 is wrong [k0]. Mend it.\n- Thing 1")
    assert text.endswith("\n- And 2 more, in the findings.")
    assert "hmm" not in text


def test_every_fixed_mapping_leads_to_a_value_that_exists() -> None:
    assert set(catalog.CAMPAIGN_TYPES.values()) <= set(PHASES)
    assert set(catalog.STATUSES.values()) == set(PHASE_STATUSES)
    assert (len(catalog.CAMPAIGN_TYPES), len(catalog.STATUSES)) == (6, 9)


def test_our_names_are_read_from_the_files() -> None:
    assert {"campaigns_backup_000035", "migration_legacy_values", "migration_runs", "phases_index_performance"} <= (
        catalog.our_relations()
    )
    assert {"maintain_phases_indexes", "migration_map_progress", "campaigns_keep_row"} <= catalog.our_functions().keys()
    assert {catalog.SYNC_TRIGGER, catalog.KEEP_ROW_TRIGGER, "zzz_campaign_metrics_insert"} <= catalog.our_triggers()


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        (
            "campaigns_phase_status_check",
            (
                "CHECK (((phase_status)::text = ANY ((ARRAY['failed'::character varying, 'not_started'::character varying,"
                " 'in_progress'::character varying, 'paused'::character varying,"
                " 'completed'::character varying])::text[])))"
            ),
        ),
        ("campaigns_progress_check", "CHECK (((progress >= (0)::numeric) AND (progress <= (100)::numeric))) NOT VALID"),
        (
            "campaigns_metrics_check",
            "CHECK (((domains >= 0) AND (leads >= 0) AND (dns_validated_domains >= 0) AND (http_validated_domains >= 0)))",
        ),
    ],
)
def test_a_check_of_ours_is_known_again_as_postgresql_prints_it(name: str, printed: str) -> None:
    assert catalog.plain_check(printed) == catalog.OUR_CHECKS[name]
    assert catalog.plain_check(printed.replace("0", "1").replace("failed", "lost")) != catalog.OUR_CHECKS[name]


def test_allowed_values_are_those_of_a_list_and_of_nothing_else() -> None:
    assert catalog.allowed_values("CHECK ((a = ANY (ARRAY['x'::text, 'it''s'::text])))") == {"x", "it's"}
    assert catalog.allowed_values("CHECK ((length(a) > 3))") == frozenset()


def test_lists_and_numbers_read_well() -> None:
    assert listed(["a", "b", "c"], shown=2) == "a, b and 1 more"
    assert (counted(1, "campaign"), counted(1200, "campaign")) == ("1 campaign", "1,200 campaigns")


def test_a_scratch_databases_name_fits_and_any_name_can_be_connected_to() -> None:
    assert scratch_name("app", "ab12") == "app_restore_check_ab12"
    assert len(scratch_name("ü" * 60, "ab12").encode()) <= 63
    assert connection_string("it's \\ odd") == "dbname='it\\'s \\\\ odd'"


async def test_a_program_that_fails_is_quoted() -> None:
    script = "import sys; print('pg_dump: error: no such snapshot', file=sys.stderr); sys.exit(1)"
    with pytest.raises(ClientFailed, match="error: no such snapshot"):
        await run_client(Path(sys.executable), ["-c", script], {})


async def test_a_program_that_fails_without_a_word_is_reported_with_its_exit_code() -> None:
    with pytest.raises(ClientFailed, match="ended with 3"):
        await run_client(Path(sys.executable), ["-c", "import sys; sys.exit(3)"], {})


async def test_an_error_that_is_forgiven_does_not_hide_another_one() -> None:
    script = (
        "import sys; print('pg_restore: error: ERROR:  harmless', file=sys.stderr);"
        " print('pg_restore: warning: errors ignored', file=sys.stderr); {extra} sys.exit(1)"
    )
    arguments = ["-c", script.format(extra="")]
    await run_client(Path(sys.executable), arguments, {}, forgiven=["harmless"])
    arguments = ["-c", script.format(extra="print('pg_restore: error: ERROR:  real', file=sys.stderr);")]
    with pytest.raises(ClientFailed, match="real"):
        await run_client(Path(sys.executable), arguments, {}, forgiven=["harmless"])


async def test_a_cancel_ends_the_program(tmp_path: Path) -> None:
    started = time.monotonic()
    begun = tmp_path / "begun"
    script = f"import time, os; os.symlink(str(os.getpid()), {str(begun)!r}); time.sleep(60)"
    running = asyncio.create_task(run_client(Path(sys.executable), ["-c", script], {}))
    for _ in range(600):
        if begun.is_symlink():
            break
        await asyncio.sleep(0.05)
    process_id = begun.readlink()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - started < 30
    assert not Path(f"/proc/{process_id}").exists()
