"""Benchmark runs that the database remembers: the before for a run that comes too late, the past for a trend."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import asyncpg

from tasks.core import sql_files
from tasks.core.benchmark_models import Architecture, BenchmarkRun, PatternTiming
from tasks.core.benchmark_patterns import STATISTICS
from tasks.core.database import Database, connect


async def last_run(database: Database, schema: str, architecture: Architecture) -> BenchmarkRun | None:
    """The last run on this architecture that was measured from the client, or None if there was none."""
    return next(iter(await past_runs(database, schema, architecture, latest=1)), None)


async def past_runs(database: Database, schema: str, architecture: Architecture, *, latest: int) -> list[BenchmarkRun]:
    """The first run on this architecture, which is the baseline, and the latest ones; oldest first.

    Runs that were measured from the client, in this database.
    """
    async with connect(database, schema=schema, purpose="benchmark history") as connection:
        try:
            rows = await connection.fetch(sql_files.query("list_performance_runs"), architecture, latest)
        except asyncpg.UndefinedTableError:
            return []  # nothing was ever measured here
    return [_run(architecture, list(group)) for _, group in groupby(rows, key=lambda row: row["run_id"])]


def _run(architecture: Architecture, rows: list[Any]) -> BenchmarkRun:
    details: list[dict[str, Any]] = [json.loads(row["details"]) for row in rows]
    common = details[0]
    whole = next((detail for detail in details if "statistics" in detail), {})
    return BenchmarkRun(
        run_id=str(rows[0]["run_id"]),
        architecture_type=architecture,
        measured_at=rows[0]["measured_at"].isoformat(timespec="seconds"),
        server_version=common["server_version"],
        settings=common["settings"],
        campaigns=common["campaigns"],
        domains=common["domains"],
        rounds=max(row["rounds"] for row in rows),
        patterns=[_timing(row, detail) for row, detail in zip(rows, details, strict=True)],
        database_name=common["database"],
        inputs=common["inputs"],
        statistics=whole.get("statistics", []),
        environment=common["environment"],
        indexes=whole.get("indexes", []),
        clone=whole.get("clone"),
        writes_clone=whole.get("writes_clone"),
    )


def _timing(row: Any, detail: dict[str, Any]) -> PatternTiming:
    return PatternTiming(
        name=row["test_name"],
        category=row["test_category"],
        times_ms=[] if row["test_name"] == STATISTICS else detail.get("times_ms", []),
        blocks=row["blocks"],
        work=detail.get("work"),
        rows=row["rows_returned"] or 0,
        answer=detail.get("answer"),
        plan=detail.get("plan"),
        skipped=detail.get("skipped"),
        note=detail.get("note", ""),
        writes=detail.get("writes", False),
    )
