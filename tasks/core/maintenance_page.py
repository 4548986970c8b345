"""What the maintenance found and did, on one page: what to look at first, then each index in one line."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.bloat import IndexBloat
from tasks.core.maintenance import MaintenanceAction, MaintenanceReport
from tasks.core.metrics import MetricsReport
from tasks.core.plan.show import cell

ROWS_SHOWN = 50
WELL = frozenset({"kept", "analyzed"})


def page(report: MaintenanceReport, metrics: MetricsReport) -> str:
    """The report in markdown."""
    care = [row for row in report.found if row.action not in WELL]
    indexes = [row for row in report.found if row.action != "analyzed"]
    measured = {one.index_name: one for one in report.bloat}
    over = {one.index_name for one in report.bloated}
    lines = [
        "# Maintenance",
        "",
        f"{metrics.summary} {report.summary}",
        "",
        *_metrics(metrics),
        *_section("What was done", report.done),
        *_section("To look at", care),
        f"## Indexes: {len(indexes)}",
        "",
        "| index | air | use |",
        "|---|---:|---|",
    ]
    for row in indexes:
        air = _air(measured.get(row.index_name), bloated=row.index_name in over)
        lines.append(f"| `{row.index_name}` | {air} | {cell(row.details)} |")
    methods = sorted({one.method for one in report.bloat})
    if methods:
        lines += ["", f"Air: by {' and '.join(methods)}; other kinds of index than b-trees cannot be judged."]
    return "\n".join(lines) + "\n"


def _metrics(metrics: MetricsReport) -> list[str]:
    if not metrics.found:
        return []
    repaired = {one.campaign_id for one in metrics.repaired}
    rows = [
        f"| `{one.campaign_id}` | {cell(one.apart)} | {'yes' if one.campaign_id in repaired else 'no'} |"
        for one in metrics.found[:ROWS_SHOWN]
    ]
    title = f"## Campaigns whose metrics differed from a recount: {len(metrics.found)}"
    return [title, "", "| campaign | difference | repaired |", "|---|---|---|", *rows, ""]


def _section(title: str, rows: Sequence[MaintenanceAction]) -> list[str]:
    if not rows:
        return []
    table = [f"| `{row.index_name}` | {row.action} | {cell(row.details)} |" for row in rows]
    return [f"## {title}: {len(rows)}", "", "| index | what | details |", "|---|---|---|", *table, ""]


def _air(found: IndexBloat | None, *, bloated: bool) -> str:
    if found is None:
        return ""
    return f"**{found.percent:.0f}%**" if bloated else f"{found.percent:.0f}%"
