"""Checks and tests on one page: what failed comes first, with the query that finds the bad rows again."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.comparison_tables import number
from tasks.core.models import AnswerCheck, CheckResult
from tasks.core.plan.show import cell

ORDER = ("FAIL", "WARN", "SKIPPED", "PASS")


def page(tally: str, checks: Sequence[CheckResult]) -> str:
    """Validation checks or integration tests in markdown. Their details are too long for the cells of a table."""
    lines = [f"**{tally}**", ""]
    for status in ORDER:
        of_status = [one for one in checks if one.status == status]
        if of_status:
            lines += [f"## {status}: {len(of_status)}", "", *(_in_a_line(one) for one in of_status), ""]
    for one in checks:
        if one.status in {"FAIL", "WARN"} and one.query:
            lines += [f"### {one.name}: find these rows again", "", "```sql", one.query, "```", ""]
    return "\n".join(lines)


def answers_page(tally: str, checks: Sequence[AnswerCheck]) -> str:
    """What both models said to the same questions, in markdown."""
    lines = [f"**{tally}**", "", "| pattern | status | rows | legacy (ms) | phases (ms) | details |"]
    lines.append("|---|---|---:|---:|---:|---|")
    for one in sorted(checks, key=lambda one: ORDER.index(one.status)):
        figures = f"{one.total_records:,} | {number(one.legacy_ms)} | {number(one.phases_ms)}"
        lines.append(f"| {one.name} | {one.status} | {figures} | {cell(one.details)} |")
    return "\n".join(lines) + "\n"


def _in_a_line(one: CheckResult) -> str:
    bad = f" {one.invalid_records:,} of {one.total_records:,} are bad." if one.invalid_records else ""
    details = f" {' '.join(one.details.split())}" if one.details else ""
    return f"- **{one.name}**:{bad}{details}" if bad or details else f"- {one.name}"
