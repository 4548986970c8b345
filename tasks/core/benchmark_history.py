"""Benchmark runs that the database remembers, for a run that comes too late to measure the before itself."""

from __future__ import annotations

import json
from typing import Any, Literal

import asyncpg

from tasks.core import sql_files
from tasks.core.benchmark_patterns import STATISTICS
from tasks.core.database import Database, connect
from tasks.core.models import BenchmarkRun, PatternTiming

Architecture = Literal["dual", "phases_based"]


async def last_run(database: Database, schema: str, architecture: Architecture) -> BenchmarkRun | None:
    """The last run on this architecture that was measured from the client, or None if there was none."""
    async with connect(database, schema=schema, purpose="benchmark history") as connection:
        try:
            rows = await connection.fetch(sql_files.query("find_last_performance_run"), architecture)
        except asyncpg.UndefinedTableError:
            return None  # nothing was ever measured here
    if not rows:
        return None
    details: list[dict[str, Any]] = [json.loads(row["details"]) for row in rows]
    common = details[0]
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
        statistics=next((detail["statistics"] for detail in details if "statistics" in detail), []),
        environment=common["environment"],
    )


def _timing(row: Any, detail: dict[str, Any]) -> PatternTiming:
    return PatternTiming(
        name=row["test_name"],
        category=row["test_category"],
        times_ms=[] if row["test_name"] == STATISTICS else detail.get("times_ms", []),
        blocks=row["blocks"],
        rows=row["rows_returned"] or 0,
        answer=detail.get("answer"),
        plan=detail.get("plan"),
        skipped=detail.get("skipped"),
        note=detail.get("note", ""),
    )
