"""report.html: one file that needs no network, readable on dark and on light, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.core import report_charts as charts
from tasks.core import report_run_charts as run_charts
from tasks.core.benchmark_models import ComparedPattern, Comparison
from tasks.core.comparison_tables import label, number, sentence
from tasks.core.plan_shape import diff, plan_change
from tasks.core.report_drawing import Chart
from tasks.core.run_report import RunReport
from tasks.core.trend import summary

TEMPLATES = Path(__file__).parent / "templates"
METHOD = (
    "Each pattern runs once to warm up, which does not count, then in each round; the patterns of a round are in random "
    "order. What only reads runs twice in a row there and the second time counts, so that no pattern pays for what its "
    "predecessor left in the caches. A time is taken by the client, from sending a prepared statement to having all its "
    "rows, planning included (plan_cache_mode = force_custom_plan). Patterns that write come last and are rolled back. The "
    "improvement is that of the medians; its interval is the percentile bootstrap's (9,999 resamples, 95%). A verdict is "
    "met if the lower bound reaches the target, not met if the upper bound stays below it, and inconclusive otherwise; the "
    "patterns' verdicts are corrected for their number (Holm). The headline is the geometric mean of the ratios, chosen "
    "beforehand; the total time and the least gain stand beside it. Counts of work repeat where times do not: shared "
    "blocks, rows visited (rows that sequential scans read and entries that indexes return), temporary blocks and WAL "
    "records of one serial execution, its triggers and what they defer to the commit included. A pattern counts as faster "
    "or slower if the clock says so beyond 5% and a count or the plan explains it; a difference by the clock alone is "
    "unsure. A plan is critical if an index scan has become a sequential scan that reads more."
)
PAIRED = (
    "Both states were there at the same time: in each round each pattern ran on both, in random order, one right after the "
    "other, and whole rounds are resampled. What disturbs the machine for longer than one query disturbs both alike."
)


@dataclass(frozen=True)
class Plan:
    """The plans of one pattern, before and after; None where there is none."""

    name: str
    question: str
    before: str | None
    after: str | None
    change: str
    diff: Sequence[tuple[str, str]]  # how a line is to look (only before, only after, both), and the line


def render(report: RunReport) -> str:
    """The page as text. Everything that comes from a database or an operator is escaped."""
    before, after = report.before, report.after
    drawn: list[Chart | None] = []
    if before is not None and after is not None:
        drawn += [charts.times_chart(before, after)]
        drawn += [charts.improvement_chart(report.comparison)] if report.comparison is not None else []
        drawn += [charts.distribution_chart(before, after), charts.blocks_chart(before, after)]
        drawn += [charts.index_chart(before, after)]
    drawn += [charts.trend_chart(report.trend)] if report.trend is not None else []
    drawn += [run_charts.steps_chart(report.steps, report.locks), run_charts.locks_chart(report.locks)]
    page: str = _template().render(
        report=report,
        headline=sentence(report.comparison.headline) if report.comparison else None,
        # The drawings are ours, and their texts are escaped where they are made.
        charts=[(chart, Markup(chart.svg)) for chart in drawn if chart is not None],  # noqa: S704 - see above
        criteria=[(group, list(lines)) for group, lines in groupby(report.criteria, key=lambda line: line.group)],
        plans=_plans(report),
        method=METHOD,
        has_temporary=_has_temporary(report.comparison),
        paired=PAIRED if report.comparison is not None and report.comparison.paired else "",
        runs=[(name, run) for name, run in (("before", before), ("after", after)) if run is not None],
        trend=summary(report.trend) if report.trend is not None else None,
        answers=report.extra.get("answers", []),
    )
    return page


@lru_cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "label": label,
        "gain": _gain,
        "counts": _counts,
        "percent": _percent,
        "mb": _megabytes,
        "words": _words,
    }
    return environment.get_template("report.html.j2")


def _plans(report: RunReport) -> Sequence[Plan]:
    sides = [{one.name: one for one in run.patterns} if run else {} for run in (report.before, report.after)]
    known = {one.name: one for one in report.comparison.patterns} if report.comparison else {}
    plans = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = (side.get(name) for side in sides)
        one = before or after
        texts = [side.plan if side is not None else None for side in (before, after)]
        if one is None or not any(texts):
            continue
        change = known[name].plan_change if name in known else plan_change(*texts, more_work=False)
        lines = diff(texts[0], texts[1]) if texts[0] and texts[1] else ""
        plans.append(
            Plan(name, one.note, texts[0], texts[1], change, [_diff_line(line) for line in lines.splitlines()])
        )
    return plans


def _diff_line(line: str) -> tuple[str, str]:
    return {"-": "gone", "+": "new"}.get(line[:1], "same"), line


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}%"


def _megabytes(value: float) -> str:
    return f"{value / 2**20:,.1f} MB"


def _words(value: object) -> str:
    return str(value).replace("_", " ")


def _has_temporary(comparison: Comparison | None) -> bool:
    """Whether anything was spilled to temporary files: otherwise the column says nothing."""
    works = [work for one in comparison.patterns for work in (one.before_work, one.after_work)] if comparison else []
    return any(work.temp_blocks for work in works if work is not None)


def _gain(one: ComparedPattern) -> str:
    """Improvement and interval in one cell."""
    if one.improvement_percent is None or one.low is None or one.high is None:
        return "-"
    return f"{one.improvement_percent:.1f}% ({one.low:.1f} to {one.high:.1f})"


def _counts(one: ComparedPattern, name: str) -> str:
    """One count of work before and after."""
    sides = [getattr(work, name, None) if work is not None else None for work in (one.before_work, one.after_work)]
    return "-" if not any(sides) else f"{number(sides[0])} → {number(sides[1])}"
