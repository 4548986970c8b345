"""The way back on a page, counted or done; and a backup that was restored beside."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.restore import RestoreReport
from tasks.core.rollback import RestoredData, RollbackReport


def page(report: RollbackReport, title: str) -> str:
    """What a way back would do, or did, in markdown."""
    before = f", and was {report.state_before}" if report.state_after is not report.state_before else ""
    lines = [
        f"# {title}",
        "",
        f"The database is {report.state_after}{before}.",
        "",
        "| campaigns | how many |",
        "|---|---:|",
        f"| keep every legacy value as it was | {report.unchanged:,} |",
        f"| changed since: follow the inverse mapping | {report.changed:,} |",
        f"| created since: follow the inverse mapping | {report.created:,} |",
        "",
        *_keys("changed since", report.changed_keys),
        *_keys("created since", report.created_keys),
    ]
    if report.statuses_restored or report.statuses_kept:
        kept = f"{report.statuses_kept:,} changed since by others, which stay"
        lines += [f"Domain statuses taken from results: {report.statuses_restored:,} given back, {kept}.", ""]
    if report.restored_data is not None:
        lines += _data(report.restored_data)
    if report.column_order:
        lines += [f"Columns of campaigns, in their former order: {', '.join(report.column_order)}.", ""]
    if report.column_order_hindrances:
        lines += ["## In the way of the exact column order", ""]
        lines += [*(f"- {one}" for one in report.column_order_hindrances), ""]
    if report.locks:
        longest = max(report.locks, key=lambda hold: hold.held_ms)
        lines += [f"Longest lock: {longest.held_ms:,.0f} ms, {longest.statement}.", ""]
    return "\n".join(lines)


def restore_page(report: RestoreReport) -> str:
    """What was restored, and how the names are swapped, in markdown."""
    return "\n".join(
        [
            f"# The backup is restored into {report.database}",
            "",
            f"{report.tables} tables with {report.rows:,} rows in {report.seconds:,.1f} s, as the manifest says.",
            "",
            "To swap the names, when nobody uses the old database, connected to another one:",
            "",
            "```sql",
            *(f"{statement};" for statement in report.swap_statements),
            "```",
            "",
        ]
    )


def _data(data: RestoredData) -> list[str]:
    lines = [
        "## Values from the backup",
        "",
        "| campaigns | how many |",
        "|---|---:|",
        f"| changed since: get their values of then | {data.changed:,} |",
        f"| deleted since: come back without domains | {data.deleted:,} |",
        f"| created since | {data.created:,} |",
        "",
        *_keys("changed since", data.changed_keys),
        *_keys("deleted since", data.deleted_keys),
        *_keys("created since", data.created_keys),
    ]
    if data.saved_as is not None:
        lines += [f"Campaigns as they were until then are in {data.saved_as}.", ""]
    return lines


def _keys(which: str, keys: Sequence[str]) -> list[str]:
    return [f"Some of those {which}: {', '.join(f'`{key}`' for key in keys)}", ""] if keys else []
