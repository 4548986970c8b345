from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.benchmark_models import BenchmarkInputs, BenchmarkRun, Clone, PatternTiming, Work
from tasks.core.comparison import compare
from tasks.core.comparison_tables import COLUMNS, as_frame, as_markdown, sentence, write_csv
from tasks.core.errors import NotComparable

INPUTS = BenchmarkInputs(
    seed=1, reference_time=None, user_ids=[], campaign_ids=[], campaign_id=None, bulk_domains=9, http_valid_domains=9
)


def timing(name: str, milliseconds: float, **more: Any) -> PatternTiming:
    times = [milliseconds * factor for factor in (0.98, 0.99, 1.0, 1.01, 1.02)]
    return PatternTiming(**{"name": name, "category": "campaign_queries", "times_ms": times, "blocks": 100} | more)


def run(*patterns: PatternTiming, **more: Any) -> BenchmarkRun:
    values: dict[str, Any] = {
        "run_id": "00000000-0000-0000-0000-000000000000",
        "architecture_type": "dual",
        "measured_at": "2026-01-01T00:00:00+00:00",
        "server_version": "18.1",
        "settings": {"work_mem": "4096", "jit": "on"},
        "campaigns": 100,
        "domains": 10_000,
        "rounds": 5,
        "patterns": list(patterns),
        "inputs": INPUTS,
    }
    return BenchmarkRun(**values | more)


def test_each_pattern_and_the_headline_are_judged() -> None:
    comparison = compare(
        run(timing("fast", 10), timing("slow", 10)), run(timing("fast", 1), timing("slow", 10)), target=40
    )
    fast, slow = comparison.patterns
    assert (fast.status, slow.status) == ("met", "not_met")
    assert fast.improvement_percent == pytest.approx(90)
    assert slow.improvement_percent == pytest.approx(0)
    assert comparison.headline.improvement_percent == pytest.approx(100 * (1 - 0.1**0.5))
    assert comparison.headline.verdict == "met"
    assert comparison.headline.total_time_improvement_percent == pytest.approx(45)
    assert comparison.headline.worst_pattern == "slow"


def test_a_run_compared_with_itself_shows_no_difference() -> None:
    same = run(timing("a", 10), timing("b", 3))
    headline = compare(same, same, target=0.0).headline
    assert headline.improvement_percent == pytest.approx(0)
    assert headline.low <= 0 <= headline.high


def test_a_skipped_pattern_keeps_its_reason_and_is_not_in_the_headline() -> None:
    skipped = timing("writes", 1, times_ms=[], skipped="not allowed here")
    comparison = compare(run(timing("a", 10), skipped), run(timing("a", 5), skipped), target=40)
    assert comparison.patterns[1].status == "skipped"
    assert comparison.patterns[1].note == "not allowed here"
    assert comparison.headline.improvement_percent == pytest.approx(50)


def test_statistics_are_recorded_without_a_judgement() -> None:
    statistics = timing("database_statistics", 1, times_ms=[], blocks=None)
    comparison = compare(run(timing("a", 10), statistics), run(timing("a", 5), statistics), target=40)
    assert (comparison.patterns[1].status, comparison.patterns[1].note) == ("recorded", "")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"server_version": "17.2"}, "server version 18.1 and 17.2"),
        ({"settings": {"work_mem": "8192", "jit": "on"}}, "work_mem = 4096 and 8192"),
        ({"settings": {"work_mem": "4096", "jit": "off"}}, "jit = on and off"),
        ({"inputs": INPUTS.model_copy(update={"seed": 2})}, "other users or campaigns"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_with_the_difference(other: dict[str, Any], named: str) -> None:
    with pytest.raises(NotComparable, match=named):
        compare(run(timing("a", 10)), run(timing("a", 5), **other), target=40)


def test_runs_without_a_pattern_in_common_are_refused() -> None:
    with pytest.raises(NotComparable, match="no pattern"):
        compare(run(timing("a", 10)), run(timing("b", 5)), target=40)


@pytest.mark.parametrize(("domains", "marked"), [(10_100, False), (10_102, True), (9_000, True)])
def test_another_data_volume_is_marked_beyond_one_percent(domains: int, marked: bool) -> None:  # noqa: FBT001 - by name
    comparison = compare(run(timing("a", 10)), run(timing("a", 5), domains=domains), target=40)
    assert any("number of domains differs" in note for note in comparison.notes) == marked


def test_another_answer_is_noted_at_its_pattern() -> None:
    comparison = compare(run(timing("a", 10, answer="x")), run(timing("a", 5, answer="y")), target=40)
    assert "another one" in comparison.patterns[0].note


def test_another_state_of_maintenance_and_missing_statistics_are_noted() -> None:
    before = [{"table_name": "generated_domains", "all_visible_percent": "100.0", "last_analyze": "2026-01-01"}]
    after = [{"table_name": "generated_domains", "all_visible_percent": "3.0", "last_analyze": None}]
    comparison = compare(run(timing("a", 10), statistics=before), run(timing("a", 5), statistics=after), target=40)
    assert any("100% of its pages" in note for note in comparison.notes)
    assert any("run ANALYZE" in note for note in comparison.notes)


def test_the_table_has_a_row_per_pattern_and_missing_figures_stay_missing(tmp_path: Path) -> None:
    skipped = timing("writes", 1, times_ms=[], blocks=None, skipped="why")
    frame = as_frame(compare(run(timing("a", 10), skipped), run(timing("a", 5), skipped), target=40))
    assert list(frame.columns) == COLUMNS
    assert frame["improvement_percent"].isna().tolist() == [False, True]
    write_csv(frame, tmp_path / "comparison.csv")
    again = pd.read_csv(tmp_path / "comparison.csv")
    assert again["name"].tolist() == ["a", "writes"]
    assert again["before_blocks"].tolist()[0] == 100


def test_the_page_names_the_headline_each_pattern_and_the_notes() -> None:
    page = as_markdown(compare(run(timing("a", 10)), run(timing("a", 5), domains=1), target=40))
    assert "50.0% less time" in page
    assert "| a | 10 | 5 | 50.0% |" in page
    assert "> The number of domains differs" in page


@pytest.mark.parametrize(
    ("after", "words"), [(5, "target of 40% is met"), (20, "100.0% more time"), (20, "is not met")]
)
def test_the_headline_reads_as_a_sentence(after: float, words: str) -> None:
    assert words in sentence(compare(run(timing("a", 10)), run(timing("a", after)), target=40).headline)


def test_a_difference_by_the_clock_counts_only_if_the_work_or_the_plan_explains_it() -> None:
    def one(milliseconds: float, blocks: int, plan: str) -> PatternTiming:
        return timing("a", milliseconds, blocks=blocks, work=Work(blocks=blocks), plan=plan)

    before = run(one(10, 100, "Index Scan using i on campaigns"))
    slower = compare(before, run(one(30, 900, "Seq Scan on campaigns")), target=40).patterns[0]
    assert (slower.change, slower.plan_change) == ("slower", "critical")
    assert slower.plan_diff == "- Index Scan using i on campaigns\n+ Seq Scan on campaigns"
    assert (
        compare(before, run(one(30, 100, "Index Scan using i on campaigns")), target=40).patterns[0].change == "unsure"
    )
    assert compare(before, run(one(3, 10, "Index Scan using i on campaigns")), target=40).patterns[0].change == "faster"
    assert compare(before, before, target=40).patterns[0].change == "same"


def test_stale_statistics_are_noted() -> None:
    rows = [
        {"table_name": "campaigns", "last_analyze": "2026-01-01", "changed_since_analyze": 60, "estimated_rows": 100}
    ]
    comparison = compare(run(timing("a", 10), statistics=rows), run(timing("a", 5)), target=40)
    assert comparison.notes == [
        "The statistics of campaigns were stale before: 60 of 100 rows had changed since ANALYZE."
    ]


def test_answers_that_differ_fail_their_pattern_and_stay_out_of_the_headline() -> None:
    comparison = compare(
        run(timing("a", 10), timing("b", 10)), run(timing("a", 5), timing("b", 1)), target=40, differing={"b": "row 1"}
    )
    assert (comparison.patterns[1].status, comparison.patterns[1].note) == ("failed", "the answers differ: row 1")
    assert comparison.headline.improvement_percent == pytest.approx(50)


def test_a_copy_that_is_not_the_untouched_state_is_noted_beside_the_headline() -> None:
    clone = Clone(database="c", method="template", seconds=1, bytes=1, weakness="both models were live in it")
    comparison = compare(run(timing("a", 10), clone=clone), run(timing("a", 5)), target=40)
    assert comparison.notes == ["The state before is not the untouched one: both models were live in it."]
