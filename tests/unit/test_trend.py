from __future__ import annotations

from typing import Any

import pytest

from tasks.core import report_charts as charts
from tasks.core.benchmark_models import BenchmarkRun, PatternTiming, Work
from tasks.core.trend import as_markdown, make_trend, summary

INDEXED = "Index Scan using i on campaigns c"
SEQUENTIAL = "Seq Scan on campaigns c"


def run(month: int, milliseconds: float, *, blocks: int = 100, plan: str = INDEXED, **more: Any) -> BenchmarkRun:
    times = [milliseconds * (1 + 0.01 * (number % 5)) for number in range(15)]
    steady = [3.0 * (1 + 0.01 * (number % 5)) for number in range(15)]
    values: dict[str, Any] = {
        "run_id": f"run-{month}",
        "architecture_type": "phases_based",
        "measured_at": f"2026-{month:02}-01T00:00:00+00:00",
        "server_version": "18.1",
        "settings": {"work_mem": "4096"},
        "campaigns": 100,
        "domains": 10_000,
        "rounds": 15,
        "patterns": [
            PatternTiming(
                name="moved", category="c", times_ms=times, blocks=blocks, work=Work(blocks=blocks), plan=plan
            ),
            PatternTiming(name="steady", category="c", times_ms=steady, blocks=50, work=Work(blocks=50), plan=INDEXED),
        ],
    }
    return BenchmarkRun(**values | more)


def test_a_pattern_that_is_slower_and_does_more_is_a_regression_since_the_baseline() -> None:
    trend = make_trend([run(1, 10), run(4, 10)], run(7, 30, blocks=900, plan=SEQUENTIAL))
    (found,) = trend.regressions
    assert (found.name, found.since, found.plan_change) == ("moved", "2026-01-01T00:00:00+00:00", "critical")
    assert found.time_ratio == pytest.approx(3, rel=0.02)
    assert found.work == "blocks 100 before and 900 now"
    assert "moved takes 3.00 times as long as on 2026-01-01" in summary(trend)
    assert "+ Seq Scan on campaigns" in as_markdown(trend)
    assert trend.compared_with == ["2026-01-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00"]


def test_what_is_slower_by_the_clock_alone_is_a_suspect_and_no_regression() -> None:
    trend = make_trend([run(1, 10)], run(4, 14))
    assert trend.regressions == []
    assert trend.suspects == ["moved (40% more than on 2026-01-01)"]
    assert "Slower by the clock alone" in summary(trend)


def test_a_lost_index_is_a_regression_even_where_the_clock_of_a_busy_machine_misses_it() -> None:
    (found,) = make_trend([run(1, 10)], run(4, 10, blocks=900, plan=SEQUENTIAL)).regressions
    assert (found.name, found.plan_change, found.work) == ("moved", "critical", "blocks 100 before and 900 now")
    assert make_trend([run(1, 10)], run(4, 10, blocks=150, plan=SEQUENTIAL)).regressions == []
    assert make_trend([run(1, 10)], run(4, 3, blocks=900, plan=SEQUENTIAL)).regressions == []


def test_what_more_data_explain_is_no_regression() -> None:
    assert make_trend([run(1, 10)], run(4, 20, blocks=200, domains=20_000)).regressions == []
    assert make_trend([run(1, 10)], run(4, 50, blocks=900, domains=20_000)).regressions != []


def test_a_run_with_other_settings_is_shown_and_not_compared() -> None:
    trend = make_trend([run(1, 10, settings={"work_mem": "65536"})], run(4, 90, blocks=900))
    assert trend.regressions == []
    assert [point.comparable for point in trend.points] == [True, False]
    assert "No earlier run can be compared: work_mem = 65536 and 4096" in summary(trend)
    assert "not comparable: work_mem" in as_markdown(trend)


def test_a_recovery_is_no_regression() -> None:
    assert make_trend([run(1, 10), run(4, 30, blocks=900)], run(7, 10)).regressions == []


def test_the_points_are_ratios_to_the_baseline() -> None:
    trend = make_trend([run(1, 10)], run(4, 40, blocks=400))
    assert trend.points[0].ratio == pytest.approx(1)
    assert trend.points[1].ratio == pytest.approx(2, rel=0.01)  # the geometric mean of 4 and 1
    assert trend.points[1].blocks_ratio == pytest.approx(2)


def test_the_trend_is_drawn_from_the_second_run_on_with_a_text_beside_it() -> None:
    assert charts.trend_chart(make_trend([], run(1, 10))) is None
    chart = charts.trend_chart(make_trend([run(1, 10)], run(4, 20, blocks=200)))
    assert chart is not None
    assert "2026-04-01T00:00:00+00:00: times 1.41, blocks 1.41" in chart.text
    assert chart.as_markdown().count("data:image/svg+xml;base64,") == 1
