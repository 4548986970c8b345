"""Step 10: the report, as files and as the summary page."""

from __future__ import annotations

import time
from pathlib import Path

from tasks import publish, recorder
from tasks.core import report as reports
from tasks.core import report_run_charts as charts
from tasks.core.models import Outcome, StepRecord
from tasks.core.run_report import RunReport
from tasks.steps import MINUTE, step


@step("report", retry=False, timeout_seconds=10 * MINUTE)
async def write_report(outcome: Outcome, message: str) -> tuple[RunReport, dict[str, Path]]:
    """Write report.json, report.html and the tables, and publish the summary.

    Returns:
        The report and its files, by what they are.

    Raises:
        DirectoryUnusable: if the directory has become so since the run began.
    """
    run = recorder.current_run()
    began, moment = time.perf_counter(), time.time()
    so_far = run.report(outcome, message)
    if so_far.validation:  # without a validation there is nothing to judge the migration by
        run.note(criteria=reports.success_criteria(so_far))
    run.detail(str(run.directory))
    summary = run.report(outcome, message)
    await publish.page("summary", reports.summary_markdown(summary), f"{run.flow_name}: {outcome}")
    timeline = charts.steps_chart(summary.steps, summary.locks)
    if timeline is not None:
        await publish.page("timeline", timeline.as_markdown(), "How long each step took")
    seconds = time.perf_counter() - began
    run.steps["report"] = StepRecord(
        name="report", state="completed", seconds=seconds, detail=str(run.directory), began_at=moment
    )
    report = run.report(outcome, message)
    return report, reports.write_reports(report, run.directory)
