"""Charts as images within pages of markdown, for artifacts."""

from __future__ import annotations

from tasks.core.benchmark_models import BenchmarkRun, Comparison, Trend


def comparison_charts(before: BenchmarkRun, after: BenchmarkRun, comparison: Comparison) -> str:
    """What a comparison shows, in pictures."""
    from tasks.core import report_charts as charts  # noqa: PLC0415 - matplotlib takes a second, and most runs draw nothing

    drawn = [
        charts.times_chart(before, after),
        charts.improvement_chart(comparison),
        charts.blocks_chart(before, after),
    ]
    key = "\nOrange is before, teal is after.\n"
    return key + "".join(chart.as_markdown() for chart in drawn if chart is not None)


def trend_chart(trend: Trend) -> str:
    """The trend as a picture; nothing for a single run."""
    from tasks.core import report_charts as charts  # noqa: PLC0415 - as above

    chart = charts.trend_chart(trend)
    return chart.as_markdown() if chart is not None else ""
