"""The figures of a run, computed from what the writers and the monitor wrote down, and the promises they are held to."""

from __future__ import annotations

from collections import Counter

import numpy as np
from pydantic import BaseModel, ConfigDict

from tasks.core.models import LockHold, TransformResult
from tests.load.load import Load
from tests.load.models import CAMPAIGNS, SNAPSHOT, TRUNCATING, Attempt, Wait
from tests.load.recount import Recount

WINDOWS = (("before", "during"), ("during", "after"), ("after", "end"))
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
LONGEST_WAIT_MS = 250.0
LONGEST_HOLD_MS = 50.0
# Answers that an application must expect, by the kind of transaction.
LEGACY_CLIENTS = {"42703", "0A000"}
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"


class Figures(BaseModel):
    """One window. Latencies in milliseconds, of transactions that do not dawdle on purpose."""

    model_config = ConfigDict(frozen=True)

    seconds: float
    transactions: int
    per_second: float
    p50: float
    p95: float
    p99: float
    worst: float


class LoadReport(BaseModel):
    """All of a run.

    Attributes:
        control, migrated: figures by window, without and with the migration.
        phases: figures of parts of the migration, by what it was doing.
        errors: how often which SQLSTATE met which group of transactions, as "40001 repeatable read".
        longest_wait_ms: the longest time that a writer waited for us.
        checks: figures of the looks at what must agree, summed up.
        broken: the promises that did not hold, in words.
    """

    server_version: str
    domains: int
    writers: int
    truncates: bool
    control: dict[str, Figures]
    migrated: dict[str, Figures]
    phases: dict[str, Figures]
    errors: dict[str, int]
    control_errors: dict[str, int]
    error_texts: dict[str, str]
    longest_wait_ms: float
    waits: list[Wait]
    looks: int
    longest_gap_ms: float
    typical_gap_ms: float
    locks: list[LockHold]
    transform: TransformResult
    recount: Recount
    checks: dict[str, int]
    check_examples: list[str]
    broken: list[str]

    @property
    def longest_hold_ms(self) -> float:
        """Of a lock that keeps writers out."""
        return max((hold.held_ms for hold in self.locks), default=0.0)


def figures(attempts: list[Attempt], began: float, ended: float) -> Figures:
    """Throughput and latency of the transactions that began within a span of time."""
    inside = [attempt for attempt in attempts if began <= attempt.began < ended]
    done = [attempt for attempt in inside if not attempt.sqlstate]
    latencies = np.array([attempt.seconds * 1000 for attempt in inside if not attempt.dawdled] or [0.0])
    shares = {name: round(float(np.percentile(latencies, share)), 3) for name, share in PERCENTILES.items()}
    seconds = max(ended - began, 1e-9)
    return Figures(
        seconds=round(seconds, 3),
        transactions=len(done),
        per_second=round(len(done) / seconds, 2),
        worst=round(float(latencies.max()), 3),
        **shares,
    )


def by_window(load: Load) -> dict[str, Figures]:
    """The three windows of a load."""
    attempts = [attempt for writer in load.writers for attempt in writer.attempts]
    return {begin: figures(attempts, load.marks[begin], load.marks[end]) for begin, end in WINDOWS}


def by_phase(load: Load, phases: list[tuple[str, float]]) -> dict[str, Figures]:
    """The parts of the migration, given when each began."""
    attempts = [attempt for writer in load.writers for attempt in writer.attempts]
    ends = [began for _, began in phases[1:]] + [load.marks["after"]]
    return {name: figures(attempts, began, end) for (name, began), end in zip(phases, ends, strict=True)}


def count_errors(load: Load) -> dict[str, int]:
    """Errors by SQLSTATE and by what the transaction touched."""
    counted = Counter(
        f"{attempt.sqlstate} {attempt.group}"
        for writer in load.writers
        for attempt in writer.attempts
        if attempt.sqlstate
    )
    return dict(sorted(counted.items()))


def is_expected(sqlstate: str, group: str) -> bool:
    """Whether an application must expect this answer to such a transaction while and after it is migrated."""
    if sqlstate in LEGACY_CLIENTS:
        return group == CAMPAIGNS
    if sqlstate == SERIALIZATION_FAILURE:
        return group == SNAPSHOT
    # Who locks rows of campaigns in an order of its own, or the whole of generated_domains, may meet the same in itself.
    return sqlstate == DEADLOCK and group in {CAMPAIGNS, TRUNCATING, SNAPSHOT}


def find_broken(
    errors: dict[str, int], longest_wait_ms: float, recount: Recount, checks: dict[str, int], locks: list[LockHold]
) -> list[str]:
    """The promises that did not hold."""
    broken = []
    for name in ("wrong_metrics", "left_over", "lost", "extra", "different"):
        value = getattr(recount, name)
        if value:
            broken.append(f"{name} is {value}, not 0")
    for name in ("contradicting", "progress_off", "legacy_off", "miscounted"):
        if checks.get(name):
            broken.append(f"{name} was {checks[name]} in all looks together, not 0")
    for error, count in errors.items():
        sqlstate, _, group = error.partition(" ")
        if not is_expected(sqlstate, group):
            broken.append(f"SQLSTATE {sqlstate}, {count} times, in transactions of the group {group}")
    if longest_wait_ms >= LONGEST_WAIT_MS:
        broken.append(f"a writer waited {longest_wait_ms:.0f} ms for the migration, not under {LONGEST_WAIT_MS:.0f} ms")
    broken += [
        f"{hold.statement} held {hold.mode} for {hold.held_ms:.1f} ms, not under {LONGEST_HOLD_MS:.0f} ms"
        for hold in locks
        if hold.held_ms >= LONGEST_HOLD_MS
    ]
    return broken
