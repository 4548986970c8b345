"""How a run looks in a terminal: a moving display where there is one, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from tasks.core import plan as plans
from tasks.core import preflight
from tasks.core import report as reports
from tasks.core.models import Outcome, StepRecord
from tasks.core.progress import Reached
from tasks.core.run_report import RunReport
from tasks.recorder import Listener

PLAIN_LINE_EVERY_SECONDS = 5.0
FULL_TABLE_WIDTH = 100
LEFT_OUT_WHEN_NARROW = {"95% interval", "blocks"}  # the reports have them
LOOKED_ONLY = {Outcome.PLANNED, Outcome.REFUSED}  # then what preflight found is what the run was for
MARKS = {"completed": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]-[/]", "running": "…"}


class Closing(Listener):
    """The last word of a run: the comparison, what became of it, where the reports are.

    Attributes:
        told: whether it has been said.
    """

    def __init__(self, console: Console, complaints: Console) -> None:
        self.console = console
        self.complaints = complaints
        self.told = False

    def run_ended(self, report: RunReport, files: Mapping[str, Path], *, well: bool) -> None:
        """Show it."""
        self.console.print()
        if report.comparison is not None:
            table = reports.terminal_table(report.comparison)
            if self.console.width < FULL_TABLE_WIDTH:
                table.columns = [column for column in table.columns if column.header not in LEFT_OUT_WHEN_NARROW]
            if str(table.caption) in report.message:  # said once is enough
                table.caption = None
            self.console.print(table)
        if report.plan:
            for part in plans.as_tables(report.plan, report.decisions, report.work_left):
                self.console.print(part)
        if report.preflight is not None and report.outcome in LOOKED_ONLY:
            for finding in report.preflight.warnings:
                self.console.print(f"[yellow]warning[/]  {escape(preflight.in_a_line(finding))}", soft_wrap=True)
        if well:
            self.console.print(f"[bold green]{report.outcome}[/]  {escape(report.message)}", soft_wrap=True)
        else:
            self.console.print(f"[bold yellow]{report.outcome}[/]")
            self.complaints.print(report.message, markup=False, soft_wrap=True)
        for path in files.values():
            self.console.print(f"  {path}", markup=False, soft_wrap=True)
        self.told = True


class PlainLines(Closing):
    """One line for each step, and now and then one for how far it is: for logs and pipes."""

    def __init__(self, console: Console, complaints: Console) -> None:
        super().__init__(console, complaints)
        self._step = ""
        self._last_line = 0.0

    def step_started(self, step: StepRecord) -> None:
        """Name the step."""
        again = f" (attempt {step.attempts})" if step.attempts > 1 else ""
        self._print(f"{step.name}{again} ...")
        self._step, self._last_line = step.name, time.monotonic()

    def step_ended(self, step: StepRecord) -> None:
        """Say how it ended."""
        detail = f": {step.detail}" if step.detail else ""
        seconds = f" ({step.seconds:.1f} s)" if step.attempts else ""
        self._print(f"{step.name} {step.state}{seconds}{detail}")

    def progressed(self, reached: Reached) -> None:
        """A line every few seconds."""
        if time.monotonic() - self._last_line < PLAIN_LINE_EVERY_SECONDS:
            return
        self._last_line = time.monotonic()
        self._print(f"{self._step}: {reached.what}, {reached.figures}")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveDisplay(Closing):
    """Finished steps stand above a bar that moves."""

    def __init__(self, console: Console, complaints: Console) -> None:
        super().__init__(console, complaints)
        self.display = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._bar: TaskID | None = None

    def step_started(self, step: StepRecord) -> None:
        """A bar for the step."""
        self._remove_bar()
        again = f" (attempt {step.attempts})" if step.attempts > 1 else ""
        self._bar = self.display.add_task(escape(step.name + again), total=None, figures="")

    def step_ended(self, step: StepRecord) -> None:
        """The bar becomes a line."""
        self._remove_bar()
        seconds = f"{step.seconds:6.1f} s" if step.attempts else " " * 8
        line = f"{MARKS[step.state]} {escape(step.name):<16} {seconds}  [dim]{escape(step.detail)}[/]"
        self.console.print(line, highlight=False, soft_wrap=True)  # a path must not be broken

    def progressed(self, reached: Reached) -> None:
        """Move the bar."""
        if self._bar is not None:
            figures = f"{escape(reached.what)} {reached.figures}"
            self.display.update(self._bar, total=reached.total, completed=reached.done, figures=figures)

    def run_ended(self, report: RunReport, files: Mapping[str, Path], *, well: bool) -> None:
        """Nothing moves any more."""
        self._remove_bar()
        self.display.stop()
        super().run_ended(report, files, well=well)

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self.display.remove_task(self._bar)
            self._bar = None


@contextmanager
def watching(console: Console, complaints: Console) -> Iterator[Closing]:
    """Show runs on a console; what went wrong is said on the other one."""
    if not console.is_terminal:
        yield PlainLines(console, complaints)
        return
    live = LiveDisplay(console, complaints)
    with live.display:
        yield live
