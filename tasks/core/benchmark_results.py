"""Benchmark runs in the database: migration_performance_results keeps every one of them."""

from __future__ import annotations

import json
import statistics
from typing import Any
from uuid import UUID

from tasks.core import sql_files
from tasks.core.benchmark_models import BenchmarkRun, PatternTiming
from tasks.core.benchmark_patterns import STATISTICS
from tasks.core.database import Connection

METHOD = "client, warm"  # how the time was taken; performance-benchmark.sql alone says "server, warm"


async def keep(connection: Connection, run: BenchmarkRun) -> None:
    """Write one row per pattern, all or none; the position is the pattern's place in the run."""
    async with connection.transaction():
        for position, timing in enumerate(run.patterns, start=1):
            await connection.execute(
                sql_files.query("insert_performance_result"),
                UUID(run.run_id),
                run.architecture_type,
                timing.name,
                timing.category,
                statistics.median(timing.times_ms) if timing.times_ms else None,
                len(timing.times_ms),
                timing.rows if timing.skipped is None else None,
                timing.blocks,
                _details(run, timing, position),
            )


def _details(run: BenchmarkRun, timing: PatternTiming, position: int) -> str:
    common: dict[str, Any] = {
        "method": METHOD,
        "database": run.database_name,
        "server_version": run.server_version,
        "settings": run.settings,
        "campaigns": run.campaigns,
        "domains": run.domains,
        "inputs": run.inputs.model_dump(mode="json") if run.inputs else None,
        "environment": run.environment,
        "position": position,
        "paired": run.paired,
    }
    own = timing.model_dump(
        include={"note", "times_ms", "plan", "skipped", "answer", "work", "writes"}, exclude_none=True
    )
    if timing.name == STATISTICS:  # what is large, or of the run as a whole, stands once
        own["statistics"] = run.statistics
        own["indexes"] = [index.model_dump() for index in run.indexes]
        copies = {"clone": run.clone, "writes_clone": run.writes_clone}
        own |= {name: copy.model_dump() for name, copy in copies.items() if copy is not None}
    return json.dumps(common | own)
