"""A plan for people: tables for a terminal and a page for the Prefect UI."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from tasks.core.models import Decision, Plan, PlannedStatement, WorkLeft

KIBIBYTE = 1024
STATEMENT_LENGTH, PAGE_LENGTH, NOTE_LENGTH = 110, 90, 90
# A statement in full is worth a look where it redefines something of the application's.
SHOWN_WHOLE = ("CREATE OR REPLACE", "ALTER POLICY", "CREATE VIEW", "CREATE MATERIALIZED VIEW")
WAITS = {"everybody": "red", "writers": "yellow"}


def as_tables(
    statements: Sequence[PlannedStatement], decisions: Sequence[Decision], work_left: Sequence[WorkLeft]
) -> list[Table]:
    """The plan for a terminal: the statements, what is to be decided, what is left to do."""
    table = Table(title="What apply would do, in order", title_justify="left")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("statement", ratio=3)
    table.add_column("lock, and who waits while it is held", ratio=2)
    for name in ("seconds", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    step = ""
    for line in statements:
        if line.step != step:
            step = line.step
            table.add_section()
            table.add_row("", f"[bold]{step}[/]")
        style = WAITS.get(line.blocks, "dim")
        lock = f"{escape(_lock(line))}: [{style}]{escape(line.blocks)}[/]" if line.lock != "none" else ""
        table.add_row(
            str(line.position), escape(_short(line.statement, STATEMENT_LENGTH)), lock,
            seconds(line.expected_seconds), size(line.expected_bytes),
        )  # fmt: skip
    total = sum(line.expected_seconds for line in statements)
    table.caption, table.caption_justify = f"{len(statements)} statements, about {total:,.1f} s", "left"
    tables = [table]
    if decisions:
        asked = Table("what", "as it stands", "option", title="To be decided", title_justify="left", show_lines=True)
        for decision in decisions:
            asked.add_row(escape(decision.question), escape(decision.standing), escape(decision.option))
        tables.append(asked)
    if work_left:
        left = Table("where", "what", "why", title="Left to the application team", title_justify="left")
        for work in work_left:
            left.add_row(escape(work.where), escape(_short(work.what, STATEMENT_LENGTH)), escape(work.why))
        tables.append(left)
    return tables


def as_markdown(plan: Plan) -> str:
    """The plan as one page: the statements, new definitions in full, decisions, work that is left."""
    parts = [
        f"# Plan: {len(plan.statements)} statements, about {plan.seconds:,.1f} s", "",
        "| # | step | statement | lock | who waits | seconds | bytes |", "|---:|---|---|---|---|---:|---:|",
    ]  # fmt: skip
    parts += [
        f"| {line.position} | {line.step} | {_statement_cell(line)} | {cell(_lock(line))} |"
        f" {line.blocks} | {seconds(line.expected_seconds)} | {size(line.expected_bytes)} |"
        for line in plan.statements
    ]
    whole = [line for line in plan.statements if line.statement.startswith(SHOWN_WHOLE)]
    if whole:
        parts += ["", "## New definitions", ""]
        for line in whole:
            title = f"{line.position}. {cell(_short(line.statement, PAGE_LENGTH))}"
            parts += [f"<details><summary>{title}</summary>", "", "```sql", line.statement, "```", "", "</details>"]
    if plan.decisions:
        parts += ["", "## To be decided", "", "| what | as it stands | option |", "|---|---|---|"]
        parts += [f"| {cell(one.question)} | {cell(one.standing)} | `{cell(one.option)}` |" for one in plan.decisions]
    parts += ["", "## Left to the application team", ""]
    if not plan.work_left:
        parts.append("Nothing that could be seen: no function and no live statement uses the legacy columns.")
    else:
        parts += ["| where | what | why |", "|---|---|---|"]
        parts += [
            f"| {cell(work.where)} | `{cell(_short(work.what, PAGE_LENGTH))}` | {cell(work.why)} |"
            for work in plan.work_left
        ]
    return "\n".join(parts) + "\n"


def seconds(value: float) -> str:
    """A duration as short as it may be.

    >>> seconds(0.0), seconds(0.012), seconds(75.3)
    ('', '0.01', '75.3')
    """
    if value < 0.005:  # noqa: PLR2004 - rounds to nothing
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}"  # noqa: PLR2004 - two digits are enough then


def size(value: int) -> str:
    """Bytes in a unit that fits.

    >>> size(0), size(900), size(-3 * 2**20)
    ('', '900 B', '-3.0 MiB')
    """
    if not value:
        return ""
    amount = float(abs(value))
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < KIBIBYTE or unit == "GiB":
            break
        amount /= KIBIBYTE
    sign = "-" if value < 0 else ""
    return f"{sign}{amount:,.0f} {unit}" if unit == "B" else f"{sign}{amount:,.1f} {unit}"


def _statement_cell(line: PlannedStatement) -> str:
    """The note stands below the statement: with a column of its own the table runs into what the UI has beside it."""
    return f"`{cell(_short(line.statement, PAGE_LENGTH))}` {cell(_short(line.note, NOTE_LENGTH))}".rstrip()


def _lock(line: PlannedStatement) -> str:
    return f"{line.lock} on {line.relation}" if line.lock != "none" else "none"


def _short(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder=" ...")


def cell(text: str) -> str:
    """A text that fits into a cell of a markdown table, code or not."""
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")
