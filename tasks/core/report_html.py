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
from tasks.core.comparison import label, number, sentence
from tasks.core.run_report import RunReport

TEMPLATES = Path(__file__).parent / "templates"
METHOD = (
    "Every pattern asks one question in two forms; their rows are compared one by one while both models live. A "
    "warm-up does not count. Then come the rounds, each in a random order of its own, as prepared statements with "
    "plan_cache_mode = force_custom_plan; the time runs from sending the statement to having all its rows. Patterns "
    "that write come last and are rolled back. Intervals are bootstrap intervals of the change of the medians "
    "(percentile method, 9,999 resamples, 95%). A verdict is met if the lower bound reaches the target, not met if the "
    "upper bound stays below it, and inconclusive otherwise; the patterns' verdicts are corrected for their number "
    "(Holm). The headline is the geometric mean of the ratios, chosen beforehand. Blocks are the shared blocks that "
    "one serial execution touches in the tables and indexes of the schema, its triggers included: the second of two "
    "executions."
)


@dataclass(frozen=True)
class Plan:
    """The plans of one pattern, before and after; None where there is none."""

    name: str
    question: str
    before: str | None
    after: str | None


def render(report: RunReport) -> str:
    """The page as text. Everything that comes from a database or an operator is escaped."""
    drawn = [
        charts.times_chart(report.before, report.after) if report.before and report.after else None,
        charts.blocks_chart(report.before, report.after) if report.before and report.after else None,
        charts.steps_chart(report.steps),
        charts.locks_chart(report.locks),
    ]
    page: str = _template().render(
        report=report,
        headline=sentence(report.comparison.headline) if report.comparison else None,
        # The drawings are ours, and their texts are escaped where they are made.
        charts=[(chart, Markup(chart.svg)) for chart in drawn if chart is not None],  # noqa: S704 - see above
        criteria=[(group, list(lines)) for group, lines in groupby(report.criteria, key=lambda line: line.group)],
        plans=_plans(report),
        method=METHOD,
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
    environment.filters |= {"number": number, "label": label, "percent": _percent, "mb": _megabytes, "words": _words}
    return environment.get_template("report.html.j2")


def _plans(report: RunReport) -> Sequence[Plan]:
    sides = [{one.name: one for one in run.patterns} if run else {} for run in (report.before, report.after)]
    plans = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = (side.get(name) for side in sides)
        one = before or after
        if one is not None and any(side is not None and side.plan for side in (before, after)):
            plans.append(Plan(name, one.note, before.plan if before else None, after.plan if after else None))
    return plans


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}%"


def _megabytes(value: float) -> str:
    return f"{value / 2**20:,.1f} MB"


def _words(value: object) -> str:
    return str(value).replace("_", " ")
