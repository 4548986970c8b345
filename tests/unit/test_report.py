from __future__ import annotations

import csv
import io
import json
import re
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tasks.core import report as reports
from tasks.core.benchmark_models import BenchmarkRun, IndexSize, PatternTiming
from tasks.core.comparison import compare
from tasks.core.errors import DirectoryUnusable
from tasks.core.models import (
    BackupManifest,
    CensusRow,
    CheckResult,
    Finding,
    LockHold,
    Outcome,
    PreflightReport,
    State,
    StepRecord,
)
from tasks.core.report_criteria import NAMED_CHECKS, WAY_BACK
from tasks.core.run_report import RunReport

NASTY = "<script>alert('x')</script> & \"quoted\""
KEYS = {
    "outcome": str,
    "database": {"server_version", "campaigns", "domains"},
    "steps": list,
    "preflight": {"blockers", "warnings"},
    "locks": {"longest_exclusive_ms", "by_statement"},
    "benchmark": {"headline", "patterns"},
    "validation": {"passed", "failed", "checks"},
    "integration": {"passed", "failed", "warned", "tests"},
    "peak_rss_mb": float,
}


def measured(milliseconds: float, architecture: Any, domains: int = 200_000) -> BenchmarkRun:
    def pattern(name: str, category: str) -> PatternTiming:
        times = [milliseconds * factor for factor in (0.9, 0.95, 1.0, 1.05, 1.1)]
        plan = "Seq Scan on campaigns" if architecture == "dual" else "Index Scan using idx_campaigns_user_dashboard"
        blocks = int(milliseconds * 10)
        return PatternTiming(name=name, category=category, times_ms=times, blocks=blocks, plan=plan, note="a question")

    return BenchmarkRun(
        run_id="00000000-0000-0000-0000-000000000000",
        architecture_type=architecture,
        measured_at="2026-01-01T00:00:00+00:00",
        server_version="18.1",
        campaigns=2_000,
        domains=domains,
        rounds=5,
        indexes=[IndexSize(name=f"idx_{architecture}", table="campaigns", bytes=2**20)],
        patterns=[
            pattern("user_campaign_dashboard", "campaign_queries"),
            pattern("bulk_domain_generation", "bulk_processing"),
        ],
    )


def check(name: str, status: Any = "PASS", **more: Any) -> CheckResult:
    return CheckResult(suite="schema", name=name, status=status, total_records=3, valid_records=3, **more)


def report(**more: Any) -> RunReport:
    values: dict[str, Any] = {
        "run_id": "00000000-0000-0000-0000-000000000000",
        "outcome": Outcome.SUCCEEDED,
        "message": "Migrated.",
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:01:00+00:00",
        "database_name": "campaigns",
        "schema_name": "public",
        "address": "someone@localhost:5432/campaigns",
        "tool_version": "0.1.0",
    }
    return RunReport(**values | more)


@pytest.fixture(scope="module")
def full() -> RunReport:
    before, after = measured(10, "dual"), measured(2, "phases_based")
    return report(
        message=NASTY,
        before=before,
        after=after,
        comparison=compare(before, after, target=40),
        steps=[
            StepRecord(name="backup", state="completed", seconds=3.0, began_at=1000.0),
            StepRecord(name="x", state="skipped", seconds=0),
        ],
        locks=[
            LockHold(statement="ALTER TABLE a", mode="ACCESS EXCLUSIVE", held_ms=4.5, attempts=1),
            LockHold(statement="ALTER TABLE a", mode="ACCESS EXCLUSIVE", held_ms=9.5, attempts=2, ended_at=1002.0),
        ],
        preflight=PreflightReport(
            state=State.LEGACY,
            server_version="18.1",
            server_version_num=180001,
            schema_name="public",
            users_table="public.users",
            campaigns=2_000,
            domains=200_000,
            migration_version=34,
            migration_dirty=False,
            findings=[
                Finding(
                    code="unknown-status", severity="blocker", message=NASTY, remedy="map it", keys=[NASTY], count=2
                ),
                Finding(code="long-transaction", severity="warning", message="one", remedy="wait"),
            ],
            census=[
                CensusRow(campaign_type=None, status="odd", current_phase=None, phase_status=None, campaigns=1),
            ],
        ),
        validation=[check("legacy_columns_removed"), check("indexes_valid", "WARN", details=NASTY)],
        integration=[check("illegal_values_are_refused"), check("broken", "FAIL")],
        peak_rss_mb=120.5,
    )


def test_report_json_has_the_agreed_keys_for_a_full_run(full: RunReport) -> None:
    document = reports.public(full)
    for key, expected in KEYS.items():
        if isinstance(expected, set):
            assert expected <= document[key].keys(), key
        else:
            assert isinstance(document[key], expected), key  # type: ignore[arg-type]  # types as data
    assert document["benchmark"]["headline"].keys() >= {"improvement_percent", "low", "high", "verdict"}
    assert document["benchmark"]["patterns"][0].keys() >= {
        "name", "category", "before_ms", "after_ms", "improvement_percent", "status", "before_blocks", "after_blocks",
    }  # fmt: skip
    assert document["locks"]["longest_exclusive_ms"] == 9.5
    assert document["locks"]["by_statement"] == {"ALTER TABLE a": 9.5}
    assert (document["validation"]["passed"], document["validation"]["failed"]) == (1, 0)
    assert (document["integration"]["passed"], document["integration"]["failed"]) == (1, 1)
    assert document["database"] == {
        "server_version": "18.1", "campaigns": 2_000, "domains": 200_000, "name": "campaigns", "schema": "public",
        "address": "someone@localhost:5432/campaigns",
    }  # fmt: skip


def test_report_json_keeps_its_keys_where_a_run_ended_early() -> None:
    document = reports.public(report(outcome=Outcome.REFUSED))
    assert set(KEYS) | {"backup", "transform"} <= document.keys()
    assert document["backup"] is None
    assert document["preflight"]["blockers"] == []
    assert document["benchmark"]["headline"] is None
    assert json.loads(json.dumps(document)) == document


def test_a_single_measurement_is_in_report_json_without_a_comparison() -> None:
    patterns = reports.public(report(after=measured(2, "phases_based")))["benchmark"]["patterns"]
    assert [(one["name"], one["before_ms"], one["after_ms"]) for one in patterns] == [
        ("user_campaign_dashboard", None, 2.0),
        ("bulk_domain_generation", None, 2.0),
    ]


def test_all_files_are_written_for_their_owner_alone(full: RunReport, tmp_path: Path) -> None:
    files = reports.write_reports(full, tmp_path / "new" / "run")
    assert {name: path.name for name, path in files.items()} == {
        "html": "report.html", "json": "report.json", "comparison": "comparison.csv", "validation": "validation.csv",
        "integration": "integration.csv", "census": "census.csv",
    }  # fmt: skip
    assert stat.S_IMODE((tmp_path / "new" / "run").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert {path.name for path in (tmp_path / "new" / "run").iterdir()} == {path.name for path in files.values()}
    with files["validation"].open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["PASS", "WARN"]
    assert json.loads(files["json"].read_text())["outcome"] == "succeeded"


def test_a_report_written_twice_is_the_same(full: RunReport, tmp_path: Path) -> None:
    first = {name: path.read_bytes() for name, path in reports.write_reports(full, tmp_path).items()}
    again = {name: path.read_bytes() for name, path in reports.write_reports(full, tmp_path).items()}
    assert first == again


def test_the_page_is_one_file_without_network_or_scripts(full: RunReport, tmp_path: Path) -> None:
    page = reports.write_reports(full, tmp_path)["html"].read_text()
    assert "2026-01-01 00:00:00 to 2026-01-01 00:01:00 UTC" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for reference in ("src=", 'href="http', "@import", "url(http", "<link"):
        assert reference not in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert "Seq Scan on campaigns" in page


def test_charts_take_the_pages_colours_and_say_what_they_show(full: RunReport, tmp_path: Path) -> None:
    page = reports.write_reports(full, tmp_path)["html"].read_text()
    titles = re.findall(r"<figcaption>([^<]+)</figcaption><svg role=\"img\" aria-label=", page)
    assert titles == [
        "Times before and after", "Improvement", "Distribution of the times", "Blocks before and after", "Index sizes",
        "The steps, and when locks were held", "Locks",
    ]  # fmt: skip
    assert "ALTER TABLE a 9.5 ms after 2.0 s" in page
    assert "user_campaign_dashboard 10 ms before, 2 ms after" in page
    assert "currentColor" in page
    assert "fill: #000" not in page
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_page_and_a_summary_exist_for_every_outcome(outcome: Outcome, tmp_path: Path) -> None:
    bare = report(outcome=outcome)
    page = reports.write_reports(bare, tmp_path)["html"].read_text()
    assert str(outcome).replace("_", " ") in page
    assert reports.summary_markdown(bare).startswith("# ")


def test_a_directory_below_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryUnusable, match="--report-directory") as caught:
        reports.check_report_directory(tmp_path / "file" / "reports")
    assert str(tmp_path / "file" / "reports") in str(caught.value)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryUnusable, match="not a directory"):
        reports.check_report_directory(tmp_path / "file")


def test_a_directory_that_takes_no_files_is_refused() -> None:
    with pytest.raises(DirectoryUnusable):
        reports.check_report_directory(Path("/proc/self/reports"))


def test_a_full_disk_is_refused_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(DirectoryUnusable, match=r"only 1\.0 MB"):
        reports.check_report_directory(tmp_path)


def test_a_good_directory_is_made_and_left_empty(tmp_path: Path) -> None:
    reports.check_report_directory(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    reports.check_report_directory(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_the_terminal_table_fits_100_columns_and_shows_the_verdict(full: RunReport) -> None:
    assert full.comparison is not None
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(reports.terminal_table(full.comparison))
    shown = console.export_text()
    assert "user_campaign_dashboard" in shown
    assert "80.0%" in shown
    assert "met" in shown


def named_checks(status: Any = "PASS") -> list[CheckResult]:
    names = {name for _, _, checks in NAMED_CHECKS for name in checks} | {"saved_objects_recorded"}
    return [check(name, status) for name in sorted(names)]


def test_the_criteria_are_twelve_in_four_groups_and_unticked_without_evidence() -> None:
    lines = reports.success_criteria(report())
    assert len(lines) == 12
    assert [line.group for line in lines] == [
        group
        for group in ("Schema Alignment", "Performance Improvement", "Data Integrity", "Rollback Capability")
        for _ in range(3)
    ]
    assert {line.status for line in lines if line.text != "Complete rollback procedures available"} == {"SKIPPED"}


def test_the_criteria_are_ticked_from_the_checks_of_the_run() -> None:
    before, after = measured(10, "dual", 2_000_000), measured(2, "phases_based", 2_000_000)
    lines = reports.success_criteria(
        report(
            validation=named_checks(),
            before=before,
            after=after,
            comparison=compare(before, after, target=40),
            sql_files=dict.fromkeys(WAY_BACK, "digest"),
            backup=BackupManifest(
                directory="/b", format="directory", files={}, bytes=1, seconds=1, server_version="18.1", snapshot="",
                row_counts={}, restore_checked=True, pg_dump_version="18.1",
            ),
        )
    )  # fmt: skip
    statuses = [line.status for line in lines]
    assert statuses[:11] == ["PASS"] * 11
    assert statuses[11] == "WARN"  # a restored dump is not a rehearsal of the down migrations


def test_one_failed_check_fails_its_criterion_and_names_it() -> None:
    checks = [one for one in named_checks() if one.name != "updated_at_kept"] + [check("updated_at_kept", "FAIL")]
    failed = [line for line in reports.success_criteria(report(validation=checks)) if line.status == "FAIL"]
    assert [line.text for line in failed if line.text != "Complete rollback procedures available"] == [
        "All existing campaign data preserved and mapped correctly",
        "All validation tests pass",
    ]
    assert "updated_at_kept FAIL" in failed[0].evidence


def test_bulk_processing_measured_on_little_data_is_not_ticked() -> None:
    before, after = measured(10, "dual"), measured(2, "phases_based")
    lines = reports.success_criteria(report(before=before, after=after, comparison=compare(before, after, target=40)))
    bulk = next(line for line in lines if line.text.startswith("Bulk processing"))
    assert bulk.status == "WARN"
    assert "200,000 domains" in bulk.evidence


def test_a_slower_bulk_pattern_fails_its_criterion() -> None:
    before, after = measured(2, "dual", 2_000_000), measured(10, "phases_based", 2_000_000)
    lines = reports.success_criteria(report(before=before, after=after, comparison=compare(before, after, target=40)))
    assert next(line for line in lines if line.text.startswith("Bulk processing")).status == "FAIL"
    assert next(line for line in lines if line.text.startswith("40% improvement")).status == "FAIL"


def test_plans_that_differ_open_on_a_click_with_what_went_and_what_came(full: RunReport, tmp_path: Path) -> None:
    page = reports.write_reports(full, tmp_path)["html"].read_text()
    assert "<details><summary><strong>user campaign dashboard</strong>" in page
    assert '<span class="gone">- Seq Scan on campaigns</span>' in page
    assert '<span class="new">+ Index Scan using idx_campaigns_user_dashboard</span>' in page
