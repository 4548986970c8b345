"""The twelve criteria of a finished migration, each ticked from what this run found, never from good faith."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.models import CheckResult, CheckStatus, Outcome, SuccessCriterion
from tasks.core.run_report import RunReport

SCHEMA, PERFORMANCE, INTEGRITY, ROLLBACK = (
    "Schema Alignment",
    "Performance Improvement",
    "Data Integrity",
    "Rollback Capability",
)
RELATIONSHIPS = "No orphaned domains or inconsistent relationships"
BULK_DOMAINS = 2_000_000
BULK_CATEGORY = "bulk_processing"
SLOWER_PERCENT = -5.0
WAY_BACK = (
    "migrations/000036_optimize_phases_indexes.down.sql",
    "migrations/000035_eliminate_dual_architecture.down.sql",
    "scripts/rollback-data.sql",
)

# Which checks of the validation and tests of the integration stand for a criterion.
NAMED_CHECKS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        SCHEMA,
        "All legacy columns (campaign_type, status, launch_sequence) removed",
        ("legacy_columns_removed",),
    ),
    (
        SCHEMA,
        "All phases columns (current_phase, phase_status) present and populated",
        ("phases_columns_present", "phases_columns_populated"),
    ),
    (
        SCHEMA,
        "All constraints properly enforced",
        ("phases_constraints_enforced", "phases_columns_not_null", "illegal_values_are_refused"),
    ),
    (
        PERFORMANCE,
        "All critical indexes present and optimized",
        ("critical_indexes_present", "indexes_valid"),
    ),
    (
        INTEGRITY,
        "All existing campaign data preserved and mapped correctly",
        (
            "campaigns_preserved",
            "legacy_values_mapped",
            "legacy_values_kept",
            "other_columns_unchanged",
            "updated_at_kept",
            "metrics_match_recount",
        ),
    ),
    (
        INTEGRITY,
        RELATIONSHIPS,
        ("no_orphaned_domains", "campaigns_have_valid_users"),
    ),
    (
        ROLLBACK,
        "Backup tables preserved for emergency restoration",
        ("backup_tables_preserved", "backup_rows_preserved"),
    ),
)


def success_criteria(report: RunReport) -> list[SuccessCriterion]:
    """The twelve lines in the order of the migration's success criteria.

    PASS needs evidence from this run; what this run did not look at is SKIPPED, and says so.
    """
    named = {text: _from_checks(report, group, text, names) for group, text, names in NAMED_CHECKS}
    named[RELATIONSHIPS] = _with_domain_statuses(report, named[RELATIONSHIPS])
    lines = list(named.values())
    schema = [line for line in lines if line.group == SCHEMA]
    indexes = [line for line in lines if line.group == PERFORMANCE]
    data = [line for line in lines if line.group == INTEGRITY]
    backups = [line for line in lines if line.group == ROLLBACK]
    return [
        *schema,
        _target(report),
        *indexes,
        _bulk(report),
        *data,
        _all_checks(report),
        _way_back(report),
        *backups,
        _rehearsed(report),
    ]


def _from_checks(report: RunReport, group: str, text: str, names: Sequence[str]) -> SuccessCriterion:
    found = {check.name: check for check in [*report.validation, *report.integration]}
    missing = [name for name in names if name not in found]
    if missing:
        return _line(group, text, "SKIPPED", f"not checked in this run: {', '.join(missing)}")
    checks = [found[name] for name in names]
    return _line(group, text, _worst(checks), ", ".join(f"{check.name} {check.status}" for check in checks))


def _with_domain_statuses(report: RunReport, line: SuccessCriterion) -> SuccessCriterion:
    """What became of a status that was kept twice, in the domain and in a table of results."""
    tracked = report.transform.domain_statuses if report.transform else []
    told = [f"{one.column_name}: {one.filled:,} filled, {one.settled:,} settled by {one.table_name}" for one in tracked]
    return line.model_copy(update={"evidence": "; ".join([line.evidence, *told])})


def _worst(checks: Sequence[CheckResult]) -> CheckStatus:
    statuses = {check.status for check in checks}
    order: tuple[CheckStatus, ...] = ("FAIL", "SKIPPED", "WARN")
    return next((status for status in order if status in statuses), "PASS")


def _target(report: RunReport) -> SuccessCriterion:
    text = "improvement in query performance achieved"
    if report.comparison is None:
        return _line(PERFORMANCE, f"40% {text}", "SKIPPED", "nothing was compared in this run")
    headline = report.comparison.headline
    evidence = (
        f"{headline.improvement_percent:.1f}%, 95% interval {headline.low:.1f}% to {headline.high:.1f}%: "
        f"{headline.verdict.replace('_', ' ')}"
    )
    status: dict[str, CheckStatus] = {"met": "PASS", "inconclusive": "WARN", "not_met": "FAIL"}
    return _line(PERFORMANCE, f"{headline.target_percent:g}% {text}", status[headline.verdict], evidence)


def _bulk(report: RunReport) -> SuccessCriterion:
    text = "Bulk processing (2M+ domains) performs optimally"
    comparison = report.comparison
    bulk = [one for one in comparison.patterns if one.category == BULK_CATEGORY] if comparison is not None else []
    timed = [one for one in bulk if one.improvement_percent is not None and one.high is not None]
    if not timed:
        return _line(PERFORMANCE, text, "SKIPPED", "no bulk pattern was compared in this run")
    evidence = ", ".join(f"{one.name} {one.improvement_percent:+.1f}%" for one in timed)
    untimed = [one.name for one in bulk if one not in timed]
    if untimed:
        evidence += f"; not timed: {', '.join(untimed)}"
    slower = [one.name for one in timed if one.high is not None and one.high < SLOWER_PERCENT]
    if slower:
        evidence = f"slower than before: {', '.join(slower)}; {evidence}"
    domains = report.after.domains if report.after else 0
    if domains < BULK_DOMAINS:  # says nothing about the size that is meant, neither good nor bad
        return _line(PERFORMANCE, text, "WARN", f"{evidence}; measured with {domains:,} domains, not 2,000,000")
    status: CheckStatus = "FAIL" if slower else "WARN" if untimed else "PASS"
    return _line(PERFORMANCE, text, status, f"{evidence}; {domains:,} domains")


def _all_checks(report: RunReport) -> SuccessCriterion:
    text = "All validation tests pass"
    if not report.validation:
        return _line(INTEGRITY, text, "SKIPPED", "no validation in this run")
    order: tuple[CheckStatus, ...] = ("FAIL", "WARN", "PASS", "SKIPPED")
    counts = {status: sum(one.status == status for one in report.validation) for status in order}
    evidence = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return _line(INTEGRITY, text, next(status for status in order if counts[status]), evidence)


def _way_back(report: RunReport) -> SuccessCriterion:
    text = "Complete rollback procedures available"
    missing = [path for path in WAY_BACK if path not in report.sql_files]
    if missing:
        return _line(ROLLBACK, text, "FAIL", f"these files are not there: {', '.join(missing)}")
    recorded = next((check for check in report.validation if check.name == "saved_objects_recorded"), None)
    if recorded is None:
        return _line(ROLLBACK, text, "SKIPPED", "whether what was dropped is recorded was not checked in this run")
    evidence = f"both down migrations, rollback-data.sql; saved_objects_recorded {recorded.status}"
    return _line(ROLLBACK, text, recorded.status, evidence)


def _rehearsed(report: RunReport) -> SuccessCriterion:
    text = "Rollback procedures tested and validated"
    if report.outcome is Outcome.ROLLED_BACK:
        return _line(ROLLBACK, text, "PASS", "this run went back, and its report says what was compared")
    if report.backup is not None and report.backup.restore_checked:
        evidence = "the dump was restored and compared; the down migrations were not rehearsed in this run"
        return _line(ROLLBACK, text, "WARN", evidence)
    evidence = "not rehearsed in this run: try restore_check, and flows.rollback on a copy"
    return _line(ROLLBACK, text, "SKIPPED", evidence)


def _line(group: str, text: str, status: CheckStatus, evidence: str) -> SuccessCriterion:
    return SuccessCriterion(group=group, text=text, status=status, evidence=evidence)
