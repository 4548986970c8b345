"""What somebody who approves the cut-over has to know, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import geometric_mean

from tasks.core.database import Database
from tasks.core.models import AnswerCheck, Plan, PlannedStatement, PreflightReport
from tasks.core.plan.contracting import INSIDE
from tasks.core.plan.show import cell, seconds

HARMLESS = "nobody"


def page(
    database: Database,
    found: PreflightReport,
    plan: Plan,
    answers: Sequence[AnswerCheck],
    *,
    target: float,
    hours: float,
) -> str:
    """Findings, locks to come and the expected gain, in markdown."""
    lines = [
        f"# Approve the cut-over of {database.database}?",
        "",
        f"{found.campaigns:,} campaigns and {found.domains:,} domains, {database.address}, schema {found.schema_name}.",
        "The backup is made, both models are live and in step. What comes next removes the legacy columns: applications that",
        "still use them will fail. flows.rollback brings them back.",
        "",
        f"If nobody answers within {hours:g} h, the run expires: the legacy columns stay, both models stay live and in step,",
        "applications work as before. A later run asks anew; flows.rollback goes back.",
        "",
        "## What will be locked",
        "",
        *_locks(plan),
        "",
        "## What it is expected to bring",
        "",
        *_gain(plan, answers, target),
        "",
        f"## Findings: {len(found.warnings)}",
        "",
        *(f"- **{one.code}**: {one.message}. {one.remedy}" for one in found.warnings),
    ]
    if plan.work_left:
        lines += ["", "## Left to the application team", ""]
        lines += [f"- {work.where}: {work.why}: `{cell(' '.join(work.what.split())[:120])}`" for work in plan.work_left]
    return "\n".join(lines) + "\n"


def in_short(
    database: Database, found: PreflightReport, plan: Plan, answers: Sequence[AnswerCheck], deadline: datetime
) -> str:
    """The same in a few lines, for the dialog that asks."""
    keeping = _keeping(plan)
    longest = max((one.expected_seconds for one in keeping), default=0.0)
    lines = [
        f"The cut-over of **{database.database}** ({found.campaigns:,} campaigns, {found.domains:,} domains) removes the legacy",
        "columns. The artifact **approval** of this run has the details.",
        "",
        f"- locks that keep somebody waiting: {len(keeping)}, the longest for about {seconds(longest) or '0.01'} s",
        f"- expected: {_gain_in_words(answers)}",
        f"- findings: {len(found.warnings)}; left to the application team: {len(plan.work_left)}",
        f"- without an answer by {deadline:%Y-%m-%d %H:%M %Z} the legacy columns stay, and a later run asks anew",
    ]
    return "\n".join(lines) + "\n"


def _locks(plan: Plan) -> list[str]:
    keeping = _keeping(plan)
    if not keeping:
        return ["Nothing that keeps anybody waiting."]
    rows = [
        f"| `{cell(' '.join(one.statement.split())[:90])}` | {one.lock} on {one.relation} | {one.blocks} |"
        f" {seconds(one.expected_seconds) or 'below 0.01'} |"
        for one in keeping
    ]
    whole = sum(one.expected_seconds for one in _remaining(plan))
    return [
        "| statement | lock | who waits | about (s) |",
        "|---|---|---|---:|",
        *rows,
        "",
        f"All that is left takes about {whole:,.1f} s; the rest of it keeps nobody waiting.",
    ]


def _keeping(plan: Plan) -> list[PlannedStatement]:
    """What keeps somebody waiting; statements inside a file are part of that file's lock."""
    return [one for one in _remaining(plan) if one.blocks != HARMLESS and one.lock != "none" and one.note != INSIDE]


def _remaining(plan: Plan) -> list[PlannedStatement]:
    steps = [one.step for one in plan.statements]
    first = steps.index("core-migrations") if "core-migrations" in steps else 0
    return plan.statements[first:]


def _timed(answers: Sequence[AnswerCheck]) -> list[tuple[str, float, float]]:
    return [(one.name, one.legacy_ms, one.phases_ms) for one in answers if one.legacy_ms and one.phases_ms]


def _gain_in_words(answers: Sequence[AnswerCheck]) -> str:
    timed = _timed(answers)
    if not timed:
        return "not known, as no pattern could be timed in both forms"
    percent = 100 * (1 - geometric_mean(phases / legacy for _, legacy, phases in timed))
    return f"{abs(percent):.0f}% {'less' if percent >= 0 else 'more'} time (geometric mean, one run of each pattern)"


def _gain(plan: Plan, answers: Sequence[AnswerCheck], target: float) -> list[str]:
    freed = -sum(one.expected_bytes for one in _remaining(plan) if one.expected_bytes < 0)
    lines = [f"About {freed / 2**20:,.1f} MiB are set free."] if freed else []
    return [
        *lines,
        (
            f"Each pattern was asked once in both forms just now, without the indexes that are still to come:"
            f" {_gain_in_words(answers)}. That is a hint; the benchmark afterwards judges against the target of {target:g}%."
        ),
        "",
        "| pattern | legacy form (ms) | phases form (ms) |",
        "|---|---:|---:|",
        *(f"| {name} | {legacy:,.1f} | {phases:,.1f} |" for name, legacy, phases in _timed(answers)),
    ]
