"""Pages for the Prefect UI that no database is needed for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core import checks_page, rollback_page
from tasks.core.models import AnswerCheck, CheckResult, CheckStatus, LockHold, State
from tasks.core.restore import RestoreReport
from tasks.core.rollback import RestoredData, RollbackReport
from tasks.core.settings import RollbackParameters


def check(name: str, status: CheckStatus, **more: object) -> CheckResult:
    return CheckResult(**{"name": name, "status": status, "total_records": 9} | more)


def test_what_failed_comes_first_with_the_query_that_finds_it_again() -> None:
    checks = [
        check("fine", "PASS"),
        check("left_out", "SKIPPED", details="not\nhere"),
        check("wrong", "FAIL", invalid_records=2, details="Two differ", query="SELECT 1"),
    ]

    page = checks_page.page("1 PASS, 1 FAIL, 1 SKIPPED", checks)

    assert page.startswith("**1 PASS, 1 FAIL, 1 SKIPPED**")
    assert "## FAIL: 1\n\n- **wrong**: 2 of 9 are bad. Two differ\n" in page
    assert page.index("## FAIL") < page.index("## SKIPPED") < page.index("## PASS")
    assert "- **left_out**: not here\n" in page
    assert "\n- fine\n" in page
    assert "### wrong: find these rows again\n\n```sql\nSELECT 1\n```" in page


def test_answers_stand_side_by_side_the_differing_ones_first() -> None:
    answers = [
        AnswerCheck(
            name="same", status="PASS", total_records=3, legacy_ms=2.0, phases_ms=1.0, details="3 rows are the same"
        ),
        AnswerCheck(name="differs", status="FAIL", total_records=3, details="a | b"),
    ]

    page = checks_page.answers_page("1 PASS, 1 FAIL", answers)

    assert page.index("| differs | FAIL | 3 | - | - | a \\| b |") < page.index("| same | PASS | 3 | 2 | 1 |")


def test_the_way_back_counts_rows_names_keys_and_its_longest_lock() -> None:
    data = RestoredData(
        changed=1, deleted=2, created=3, changed_keys=["k"], deleted_keys=["l"], created_keys=["m"], saved_as="saved"
    )
    report = RollbackReport(
        state_before=State.MIGRATED, state_after=State.LEGACY, unchanged=1_000, changed=2, created=1, changed_keys=["a", "b"],
        statuses_restored=5, restored_data=data, column_order_hindrances=["a child"],
        locks=[LockHold(statement=name, mode="x", held_ms=ms, attempts=1) for name, ms in (("one", 4.0), ("two", 9.0))],
    )  # fmt: skip

    page = rollback_page.page(report, "What the way back did")

    assert "The database is legacy, and was migrated." in page
    assert "| keep every legacy value as it was | 1,000 |" in page
    assert "Some of those changed since: `a`, `b`" in page
    assert "5 given back, 0 changed since by others" in page
    assert "| deleted since: come back without domains | 2 |" in page
    assert "are in saved." in page
    assert "- a child" in page
    assert "Longest lock: 9 ms, two." in page


def test_a_restored_backup_says_how_the_names_are_swapped() -> None:
    report = RestoreReport(database="d_new", tables=3, rows=1_000, seconds=2.0, swap_statements=["A", "B"])

    page = rollback_page.restore_page(report)

    assert "3 tables with 1,000 rows in 2.0 s" in page
    assert "```sql\nA;\nB;\n```" in page


@pytest.mark.parametrize(
    ("parameters", "purpose"),
    [
        (RollbackParameters(), "plan"),
        (RollbackParameters(mode="apply"), "apply"),
        (RollbackParameters(forget=True), "forget backups"),
        (RollbackParameters(from_backup=Path("b")), "restore beside"),
    ],
)
def test_a_run_of_the_way_back_is_named_after_what_it_is_for(parameters: RollbackParameters, purpose: str) -> None:
    assert parameters.purpose == purpose
