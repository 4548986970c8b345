"""Do the legacy and the phases form of each pattern give the same answer? Asked while both models live."""

from __future__ import annotations

from time import perf_counter

import asyncpg

from tasks.core.benchmark import CONCURRENT, STATISTICS, WRITES_NOT_ALLOWED, define, failed, patterns
from tasks.core.benchmark_patterns import Pattern, Row, bind, normalise
from tasks.core.database import Connection, Database, connect
from tasks.core.models import BenchmarkInputs, CheckResult

SUITE = "benchmark answers"
