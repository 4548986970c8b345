"""The load program, small: the migration under writers of every kind is exact, and the program says so."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tasks.core.database import Database
from tests.load import results
from tests.load.models import CAMPAIGNS, DOMAINS, SNAPSHOT, Attempt, OwnRow
from tests.load.owned import OwnRows
from tests.load.recount import Recount
from tests.load.results import LoadReport

pytestmark = pytest.mark.large

PROGRAM = Path(__file__).parents[1] / "load" / "run.py"
EXACT = Recount(campaigns=5, wrong_metrics=0, left_over=0, rows=10, lost=0, extra=0, different=0)
AGREEING = {"contradicting": 0, "progress_off": 0, "legacy_off": 0, "miscounted": 0}


@pytest.mark.parametrize(("truncate_every", "more"), [(0, []), (0.3, []), (0, ["--way-back"])])
def test_a_migration_under_load_loses_nothing_and_miscounts_nothing(
    server: Database, tmp_path: Path, truncate_every: float, more: list[str]
) -> None:
    figures = tmp_path / "figures.json"
    assert server.password is not None
    options = (
        "--writers 4 --campaigns 120 --domains 8000 --seconds-before 0.5 --seconds-after 1 --pause-ms 5 --no-control"
    )
    finished = subprocess.run(
        [
            sys.executable, str(PROGRAM), *options.split(), "--json", str(figures),
            "--database-url", f"postgresql://{server.user}@{server.host}:{server.port}/{server.database}?sslmode=disable",
            "--truncate-every", str(truncate_every), *more,
        ],
        env={**os.environ, "PGPASSWORD": server.password.get_secret_value(), "COLUMNS": "200"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert figures.exists(), finished.stdout + finished.stderr
    report = LoadReport.model_validate_json(figures.read_text())
    assert report.broken == [], (report.broken, report.error_texts, report.check_examples)
    # Slow is what a busy machine may be; the program's word and its exit code go together all the same.
    assert finished.returncode == (1 if report.slow else 0)
    assert ("Every promise held." in finished.stdout) == (not report.slow)
    assert report.recount.wrong_metrics == report.recount.left_over == 0
    assert report.recount.lost == (None if truncate_every else 0)
    assert all(figure.transactions > 0 for figure in report.migrated.values())
    assert report.transform.campaigns >= 120
    assert report.checks["counted"] > 0
    if more:
        assert (report.recount.untouched or 0) > 0
        assert report.recount.unlike == 0
        assert {"legacy values", "migration 000035 down"} <= report.back_phases.keys()
        assert {"migration_return_columns()", "000036 down", "000035 down"} <= {hold.statement for hold in report.locks}


def test_deadlocks_of_those_who_write_domains_alone_break_a_promise() -> None:
    assert (
        results.find_broken({f"40P01 {CAMPAIGNS}": 1, f"40001 {SNAPSHOT}": 2, f"42703 {CAMPAIGNS}": 3}, EXACT, AGREEING)
        == []
    )
    for error in (f"40P01 {DOMAINS}", f"40001 {DOMAINS}", f"42703 {DOMAINS}", f"23505 {CAMPAIGNS}"):
        (promise,) = results.find_broken({error: 1}, EXACT, AGREEING)
        assert error.split()[0] in promise


@pytest.mark.parametrize("name", ["wrong_metrics", "left_over", "lost", "extra", "different", "unlike"])
def test_one_row_too_few_breaks_a_promise(name: str) -> None:
    (promise,) = results.find_broken({}, EXACT.model_copy(update={name: 1}), AGREEING)
    assert name in promise


def test_figures_leave_out_the_latency_of_those_who_dawdle_and_of_other_times() -> None:
    attempts = [
        Attempt(1.0, 0.010, "insert", DOMAINS, dawdled=False, sqlstate=""),
        Attempt(1.5, 0.030, "insert", DOMAINS, dawdled=False, sqlstate="40001"),
        Attempt(1.6, 2.000, "dawdle", DOMAINS, dawdled=True, sqlstate=""),
        Attempt(3.0, 9.000, "insert", DOMAINS, dawdled=False, sqlstate=""),
    ]
    found = results.figures(attempts, [(0.0, 2.0)])
    assert (found.transactions, found.per_second, found.worst) == (2, 1.0, 30.0)


def test_a_writers_books_are_what_it_committed() -> None:
    draws, books, expected = random.Random(1), OwnRows(), dict[str, OwnRow]()
    campaign = uuid.uuid4()
    for turn in range(500):
        changes: dict[str, OwnRow | None] = {f"row {draws.randrange(60)}": None for _ in range(draws.randrange(4))}
        changes |= {
            name: OwnRow(name, campaign, str(turn), None, None) for name in list(changes) if draws.random() < 0.7
        }
        books.apply(changes)
        for name, row in changes.items():
            if row is None:
                expected.pop(name, None)
            else:
                expected[name] = row
    assert sorted(books.all()) == sorted(expected.values())
    drawn = books.draw(draws, 10, {})
    assert len({row.name for row in drawn}) == len(drawn)
    assert books.draw(draws, 10, {row.name: None for row in expected.values()}) == []
