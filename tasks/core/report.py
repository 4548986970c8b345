"""What a run leaves behind: report.json for programs, report.html for people, tables as CSV and for the terminal."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tasks.core import comparison_tables as comparisons
from tasks.core import errors
from tasks.core.benchmark_models import BenchmarkRun, Comparison, PatternTiming
from tasks.core.models import CheckResult, Model
from tasks.core.report_criteria import success_criteria
from tasks.core.run_report import RunReport

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "check_report_directory", "public", "success_criteria", "summary_markdown", "terminal_table", "write_reports",
]  # fmt: skip

ROOM_BYTES = 16 * 2**20  # reports are well below this; less free space than it means the disk is full
BACKUP_KEYS = {"directory", "format", "bytes", "seconds", "restore_checked"}
STYLES = {"met": "green", "not_met": "red", "inconclusive": "yellow", "failed": "bold red"}
MARKS = {"PASS": "x", "WARN": " ", "FAIL": " ", "SKIPPED": " "}


def check_report_directory(path: Path) -> None:
    """Make the directory (mode 0700) if it is not there, and try whether reports can be written to it.

    :raises DirectoryUnusable: with the reason.
    """
    try:
        _make_directory(path)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(bytes(2**16))
            probe.flush()
            os.fsync(probe.fileno())
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if free < ROOM_BYTES:
        raise _unusable(path, f"only {free / 2**20:.1f} MB are free there")


def write_reports(report: RunReport, directory: Path) -> dict[str, Path]:
    """Write all files of a report; each appears whole or not at all, and earlier ones are replaced.

    :returns: the files by what they are: `html`, `json`, and `comparison`, `validation`, `integration`, `census` (CSV)
        as far as there is something to say.
    :raises DirectoryUnusable: if they cannot be written.
    """
    from tasks.core.report_html import render  # noqa: PLC0415 - brings matplotlib, which `--help` need not wait for

    tables = {
        "comparison": comparisons.as_frame(report.comparison) if report.comparison else None,
        "validation": _frame(report.validation),
        "integration": _frame(report.integration),
        "census": _frame(report.preflight.census) if report.preflight else None,
    }
    texts = {
        "html": ("report.html", render(report)),
        "json": ("report.json", json.dumps(public(report), indent=2, ensure_ascii=False) + "\n"),
    }
    texts |= {
        name: (f"{name}.csv", frame.to_csv(index=False, float_format="%.4f"))
        for name, frame in tables.items()
        if frame is not None
    }
    try:
        _make_directory(directory)
        return {name: _write(directory / file, text) for name, (file, text) in texts.items()}
    except OSError as error:
        raise _unusable(directory, error.strerror or str(error)) from error


def public(report: RunReport) -> dict[str, Any]:
    """The report as other programs read it: plain JSON values; seconds, milliseconds and bytes as the keys say.

    A step that did not run leaves null (`backup`, `transform`, `benchmark.headline`) or empty lists.
    """
    backup, transform, preflight = report.backup, report.transform, report.preflight
    seen = report.after or report.before
    longest: dict[str, float] = {}
    for lock in report.locks:
        longest[lock.statement] = max(lock.held_ms, longest.get(lock.statement, 0.0))
    document: dict[str, Any] = {
        "outcome": str(report.outcome),
        "message": report.message,
        "run_id": report.run_id,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "tool_version": report.tool_version,
        "commit": report.commit,
        "database": {
            "server_version": seen.server_version if seen else preflight.server_version if preflight else None,
            "campaigns": seen.campaigns if seen else preflight.campaigns if preflight else None,
            "domains": seen.domains if seen else preflight.domains if preflight else None,
            "name": report.database_name,
            "schema": report.schema_name,
            "address": report.address,
        },
        "steps": [_plain(step) for step in report.steps],
        "preflight": {
            "blockers": [_plain(finding) for finding in preflight.blockers] if preflight else [],
            "warnings": [_plain(finding) for finding in preflight.warnings] if preflight else [],
            "state": str(preflight.state) if preflight else None,
            "census": [_plain(row) for row in preflight.census] if preflight else [],
        },
        "plan": [_plain(statement) for statement in report.plan],
        "decisions": [_plain(decision) for decision in report.decisions],
        "work_left": [_plain(work) for work in report.work_left],
        "backup": _plain(backup, include=BACKUP_KEYS) if backup else None,
        "transform": _plain(transform) if transform else None,
        "locks": {
            "longest_exclusive_ms": max(longest.values(), default=0.0),
            "by_statement": longest,
            "holds": [_plain(lock) for lock in report.locks],
        },
        "benchmark": _benchmark(report),
        "validation": _checks(report.validation, "checks"),
        "integration": _checks(report.integration, "tests"),
        "criteria": [_plain(line) for line in report.criteria],
        "contacts": report.contacts,
        "sql_files": report.sql_files,
        "peak_rss_mb": report.peak_rss_mb,
        "extra": report.extra,
    }
    loaded: dict[str, Any] = json.loads(json.dumps(document, default=str))
    return loaded


def terminal_table(comparison: Comparison) -> Table:
    """The comparison for a terminal of 100 columns; without interval and blocks, of 80."""
    headline = comparison.headline
    title = "Before and after, timed in turn" if comparison.paired else "Before and after"
    table = Table(title=title, caption=comparisons.sentence(headline), caption_justify="left")
    table.add_column("pattern", no_wrap=True)
    for name in ("before ms", "after ms", "improved", "95% interval"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    table.add_column("blocks", justify="right")
    frame = comparisons.as_frame(comparison).astype(object)
    for one in frame.where(frame.notna(), None).to_dict("records"):
        known = one["improvement_percent"] is not None
        style = STYLES.get(one["status"], "dim")
        table.add_row(
            one["name"],
            comparisons.number(one["before_ms"]),
            comparisons.number(one["after_ms"]),
            f"{one['improvement_percent']:.1f}%" if known else "-",
            f"{one['low']:.1f} to {one['high']:.1f}" if known else "-",
            f"[{style}]{one['status'].replace('_', ' ')}[/]",
            f"{comparisons.number(one['before_blocks'])} → {comparisons.number(one['after_blocks'])}",
        )
    return table


def summary_markdown(report: RunReport) -> str:
    """The run on one page: what became of it, the headline, the criteria, the steps."""
    lines = [f"# {str(report.outcome).replace('_', ' ').capitalize()}", "", report.message, ""]
    if report.comparison is not None:
        headline = comparisons.sentence(report.comparison.headline)
        lines += [f"**{headline}**", ""] if headline not in report.message else []
        lines += [f"> {note}\n" for note in report.comparison.notes]
    group = ""
    for line in report.criteria:
        if line.group != group:
            group = line.group
            lines += ["", f"### {group}", ""]
        lines.append(f"- [{MARKS[line.status]}] {line.text}: **{line.status}**. {line.evidence}")
    if report.steps:
        lines += ["", "### Steps", "", "| step | state | seconds | attempts | what |", "|---|---|---:|---:|---|"]
        lines += [
            f"| {step.name} | {step.state} | {step.seconds:.1f} | {step.attempts} | {_cell(step.detail)} |"
            for step in report.steps
            if step.state != "running"  # the one that writes this
        ]
    lines += ["", "### Where", "", f"- database {report.database_name}, schema {report.schema_name}, {report.address}"]
    if report.backup is not None:
        lines.append(f"- backup in `{report.backup.directory}`")
    lines += [f"- {team}: {whom}" for team, whom in report.contacts.items() if whom]
    lines.append(f"- version {report.tool_version}, commit {report.commit or 'unknown'}, run {report.run_id}")
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in report.extra.items() if isinstance(value, str)]
    if report.sql_files:
        lines += ["", "<details><summary>SHA-256 of the SQL files</summary>", ""]
        named = {path: digest for path, digest in report.sql_files.items() if not path.startswith("queries/")}
        lines += [f"- `{digest[:16]}` {path}" for path, digest in named.items()]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _benchmark(report: RunReport) -> dict[str, Any]:
    trend = {"trend": _plain(report.trend)} if report.trend is not None else {}
    if report.comparison is not None:
        patterns = [_plain(one) for one in report.comparison.patterns]
        compared = {"notes": report.comparison.notes, "paired": report.comparison.paired}
        return {"headline": _plain(report.comparison.headline), "patterns": patterns, **compared, **trend}
    before, after = _by_name(report.before), _by_name(report.after)
    patterns = [
        {
            "name": name,
            "category": (before.get(name) or after[name]).category,
            "before_ms": _median(before.get(name)),
            "after_ms": _median(after.get(name)),
            "improvement_percent": None,
            "status": "recorded",
            "before_blocks": before[name].blocks if name in before else None,
            "after_blocks": after[name].blocks if name in after else None,
        }
        for name in dict.fromkeys([*before, *after])
    ]
    return {"headline": None, "patterns": patterns, "notes": [], **trend}


def _by_name(run: BenchmarkRun | None) -> dict[str, PatternTiming]:
    return {pattern.name: pattern for pattern in run.patterns} if run else {}


def _median(pattern: PatternTiming | None) -> float | None:
    return statistics.median(pattern.times_ms) if pattern is not None and pattern.times_ms else None


def _checks(checks: Sequence[CheckResult], name: str) -> dict[str, Any]:
    counts = {status: sum(check.status == status for check in checks) for status in ("PASS", "FAIL", "WARN", "SKIPPED")}
    return {
        "passed": counts["PASS"],
        "failed": counts["FAIL"],
        "warned": counts["WARN"],
        "skipped": counts["SKIPPED"],
        name: [_plain(check) for check in checks],
    }


def _plain(model: Model, include: set[str] | None = None) -> dict[str, Any]:
    return model.model_dump(mode="json", include=include)


def _frame(models: Sequence[Model]) -> pd.DataFrame | None:
    import pandas as pd  # noqa: PLC0415 - as above

    return pd.DataFrame([model.model_dump(mode="json") for model in models]) if models else None


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _make_directory(path: Path) -> None:
    for directory in [*reversed(path.parents), path]:
        if not directory.exists():
            directory.mkdir(mode=0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(20, "it is not a directory", str(path))


def _write(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _unusable(path: Path, reason: str) -> errors.DirectoryUnusable:
    return errors.DirectoryUnusable(directory=path, purpose="for reports", reason=reason, option="--report-directory")
