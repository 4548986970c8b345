"""The figures of a run as tables for the terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.table import Table

from tests.load.results import Figures, LoadReport, median_holds


def show(console: Console, report: LoadReport) -> None:
    """Print everything, the verdict last."""
    console.print(Group(_windows(report), _phases("the migration", report.phases)))
    if report.back_phases:
        console.print(_phases("the way back", report.back_phases))
    console.print(_locks(report))
    for line in _facts(report):
        console.print(line, highlight=False)
    for title, promises in (("Broken promises:", report.broken), ("Too slow:", report.slow)):
        if promises:
            console.print(f"[bold red]{title}[/]")
        for promise in promises:
            console.print(f"  [red]{promise}[/]", highlight=False)
    if not report.broken and not report.slow:
        console.print("[bold green]Every promise held.[/]")


def _windows(report: LoadReport) -> Table:
    table = Table(title=f"{report.writers} writers, {report.domains:,} domains, PostgreSQL {report.server_version}")
    for name in ("window", "seconds", "tx/s", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        table.add_column(name, justify="left" if name == "window" else "right")
    for name, figures in report.migrated.items():
        control = report.control.get(name)
        if control is not None:
            table.add_row(f"control, {name}", *_cells(control))
        table.add_row(name, *_cells(figures), style="bold")
        if control is not None:
            table.add_row("  ratio to the control", "", *_ratios(figures, control), end_section=True)
    return table


def _phases(what: str, phases: dict[str, Figures]) -> Table:
    table = Table(title=f"What {what} was doing meanwhile")
    for name in ("step", "seconds", "tx/s", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for name, figures in phases.items():
        table.add_row(name, *_cells(figures))
    return table


def _locks(report: LoadReport) -> Table:
    table = Table(title="Locks that keep writers out")
    medians, count = median_holds(report.migrations), len(report.migrations)
    for name in ("statement", "mode", "held ms", f"median of {count}", "attempts"):
        table.add_column(name, justify="left" if name in {"statement", "mode"} else "right")
    for hold in report.locks:
        middle = f"{medians[hold.statement]:.1f}"
        table.add_row(hold.statement, hold.mode, f"{hold.held_ms:.1f}", middle, str(hold.attempts))
    return table


def _cells(figures: Figures) -> list[str]:
    latencies = (figures.p50, figures.p95, figures.p99, figures.worst)
    return [f"{figures.seconds:.1f}", f"{figures.per_second:.0f}", *(f"{value:.1f}" for value in latencies)]


def _ratios(figures: Figures, control: Figures) -> list[str]:
    names = ("per_second", "p50", "p95", "p99", "worst")
    pairs = [(getattr(figures, name), getattr(control, name)) for name in names]
    return [f"x {value / reference:.2f}" if reference else "-" for value, reference in pairs]


def _facts(report: LoadReport) -> list[str]:
    transform, found, checks = report.transform, report.recount, report.checks
    ratio = f"{transform.seconds / transform.scan_seconds:.2f}" if transform.scan_seconds else "-"
    lines = [
        f"Longest wait for the migration: {report.longest_wait_ms:.0f} ms; {len(report.waits)} waits for us in all",
        *([] if report.back_wait_ms is None else [f"Longest wait for the way back: {report.back_wait_ms:.0f} ms"]),
        f"  (looked at every {report.typical_gap_ms:.0f} ms, {report.longest_gap_ms:.0f} ms at worst)",
        f"Longest lock held, by medians: {report.longest_hold_ms:.1f} ms",
        f"Migrations: {_each(report)}",
        f"Transform: {transform.seconds:.2f} s, {ratio} times one scan of {transform.scan_seconds:.2f} s",
        f"  ({transform.batches} batches, the longest {transform.longest_batch_ms:.0f} ms)",
        f"Errors, control: {_counts(report.control_errors)}",
        f"Errors: {_counts(report.errors)}",
        f"Looks at agreement: {checks['looks']}, {checks['dual']} of them with both models live",
        f"  {checks['contradicting']} contradicting, {checks['progress_off']} of wrong progress",
        f"  {checks['legacy_off']} of wrong kept values; {checks['counted']} campaigns counted, {checks['miscounted']} wrong",
        f"Recount of {found.campaigns:,} campaigns: {found.wrong_metrics} differ, {found.left_over} left over",
    ]
    if found.lost is None:
        lines.append("Rows of the writers: not compared, they were emptied by TRUNCATE")
    else:
        lines.append(
            f"{found.rows:,} rows of the writers: {found.lost} lost, {found.extra} extra, {found.different} different"
        )
    if found.untouched is not None:
        lines.append(f"Legacy values of {found.untouched:,} campaigns untouched since: {found.unlike} not as before")
    return lines


def _each(report: LoadReport) -> str:
    return "; ".join(
        f"transform {one.scans:.2f} scans, longest lock {max((hold.held_ms for hold in one.locks), default=0.0):.0f} ms,"
        f" longest wait {one.longest_wait_ms:.0f} ms"
        + (
            ""
            if one.back_seconds is None
            else f", way back {one.back_seconds:.1f} s with waits up to {one.back_wait_ms:.0f} ms"
        )
        for one in report.migrations
    )


def _counts(errors: dict[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in errors.items()) or "none"
