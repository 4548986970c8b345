"""The figures of a run, computed from what the writers and the monitor wrote down, and the promises they are held to."""

from __future__ import annotations

import math
from collections import Counter
from statistics import median

import numpy as np
from pydantic import BaseModel, ConfigDict

from tasks.core.models import LockHold, TransformResult
from tests.load.load import Load
from tests.load.models import CAMPAIGNS, SNAPSHOT, TRUNCATING, Attempt, Wait
from tests.load.recount import Recount

# The window in which the rollback is at work, and where it ends.
WAY_BACK = "way back"
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
LONGEST_WAIT_MS = 250.0
LONGEST_HOLD_MS = 50.0
# The transform in scans of generated_domains, with writers at work; below so many domains other things count more.
TRANSFORM_SCANS, LARGE = 2.5, 1_000_000
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


class Judged(BaseModel):
    """One migration under load, and the way back after it where that was asked for.

    Attributes:
        locks: of both, in their order.
        scans: what the transform took, as a multiple of one scan.
        longest_wait_ms: the longest time that a writer waited for the migration.
        back_wait_ms, back_seconds: the same for the way back, and how long that took.
        broken: the promises about what is right that did not hold, in words.
    """

    model_config = ConfigDict(frozen=True)

    locks: list[LockHold]
    scans: float
    longest_wait_ms: float
    back_wait_ms: float | None
    back_seconds: float | None
    broken: list[str]


class LoadReport(BaseModel):
    """All of a run.

    Attributes:
        control, migrated: figures by window, without and with the migration.
        phases, back_phases: figures of parts of the migration and of the way back, by what it was doing.
        migrations: every one that was measured, the one that the other figures are about first.
        errors: how often which SQLSTATE met which group of transactions, as "40001 repeatable read".
        longest_wait_ms, back_wait_ms: the longest time that a writer waited for the migration, and for the way back.
        checks: figures of the looks at what must agree, summed up.
        broken: the promises about what is right that did not hold, in words.
        slow: the promises about time that did not hold, in words.
    """

    server_version: str
    domains: int
    writers: int
    truncate_every: float
    control: dict[str, Figures]
    migrated: dict[str, Figures]
    phases: dict[str, Figures]
    back_phases: dict[str, Figures]
    errors: dict[str, int]
    control_errors: dict[str, int]
    error_texts: dict[str, str]
    longest_wait_ms: float
    back_wait_ms: float | None
    waits: list[Wait]
    looks: int
    longest_gap_ms: float
    typical_gap_ms: float
    locks: list[LockHold]
    migrations: list[Judged]
    transform: TransformResult
    recount: Recount
    checks: dict[str, int]
    check_examples: list[str]
    broken: list[str]
    slow: list[str]

    @property
    def longest_hold_ms(self) -> float:
        """Of a lock that keeps writers out: the longest of the medians over all migrations."""
        return max((value for value in median_holds(self.migrations).values()), default=0.0)


def median_holds(migrations: list[Judged]) -> dict[str, float]:
    """For how long each statement held a lock that keeps writers out, in milliseconds."""
    held: dict[str, list[float]] = {}
    for one in migrations:
        for hold in one.locks:
            held.setdefault(hold.statement, []).append(hold.held_ms)
    return {statement: median(values) for statement, values in held.items()}


def judge(locks: list[LockHold], transform: TransformResult, load: Load, recount: Recount) -> Judged:
    """What there is to say of a migration under load that has come to its end."""
    assert load.monitor is not None
    began, ended = load.spans.get(WAY_BACK, (math.inf, math.inf))
    went_back = WAY_BACK in load.marks
    return Judged(
        locks=locks,
        scans=round(transform.seconds / transform.scan_seconds, 3) if transform.scan_seconds else 0.0,
        longest_wait_ms=_longest_ms([wait for wait in load.monitor.waits if wait.began < began]),
        back_wait_ms=_longest_ms([wait for wait in load.monitor.waits if wait.began >= began]) if went_back else None,
        back_seconds=round(ended - began, 3) if went_back else None,
        broken=find_broken(count_errors(load), recount, sum_checks(load)),
    )


def _longest_ms(waits: list[Wait]) -> float:
    return round(max((wait.seconds * 1000 for wait in waits), default=0.0), 1)


def sum_checks(load: Load) -> dict[str, int]:
    """All looks at what must agree together."""
    assert load.monitor is not None
    checks = load.monitor.checks
    sums = ("filled", "contradicting", "progress_off", "legacy_off", "counted", "miscounted")
    summed = {name: sum(getattr(check, name) for check in checks) for name in sums}
    return summed | {"looks": len(checks), "dual": sum(check.dual for check in checks)}


def figures(attempts: list[Attempt], spans: list[tuple[float, float]]) -> Figures:
    """Throughput and latency of the transactions that began within spans of time, given by their begin and end."""
    inside = [attempt for attempt in attempts if any(began <= attempt.began < ended for began, ended in spans)]
    done = [attempt for attempt in inside if not attempt.sqlstate]
    latencies = np.array([attempt.seconds * 1000 for attempt in inside if not attempt.dawdled] or [0.0])
    shares = {name: round(float(np.percentile(latencies, share)), 3) for name, share in PERCENTILES.items()}
    seconds = max(sum(ended - began for began, ended in spans), 1e-9)
    return Figures(
        seconds=round(seconds, 3),
        transactions=len(done),
        per_second=round(len(done) / seconds, 2),
        worst=round(float(latencies.max()), 3),
        **shares,
    )


def by_window(load: Load) -> dict[str, Figures]:
    """The windows of a load."""
    attempts = [attempt for writer in load.writers for attempt in writer.attempts]
    return {name: figures(attempts, [span]) for name, span in load.spans.items()}


def by_phase(load: Load, phases: list[tuple[str, float]], window: str) -> dict[str, Figures]:
    """The parts of what was done in a window, given when each began."""
    attempts = [attempt for writer in load.writers for attempt in writer.attempts]
    ends = [began for _, began in phases[1:]] + [load.spans[window][1]]
    spans: dict[str, list[tuple[float, float]]] = {}
    for (name, began), ended in zip(phases, ends, strict=True):
        spans.setdefault(name, []).append((began, ended))
    return {name: figures(attempts, inside) for name, inside in spans.items()}


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
    return sqlstate == DEADLOCK and group in {CAMPAIGNS, TRUNCATING}


def find_broken(errors: dict[str, int], recount: Recount, checks: dict[str, int]) -> list[str]:
    """The promises about what is right that did not hold."""
    broken = []
    for name in ("wrong_metrics", "left_over", "lost", "extra", "different", "unlike"):
        value = getattr(recount, name)
        if value:
            broken.append(f"{name} is {value}, not 0")
    broken += [
        f"{name} was {checks[name]} in all looks together, not 0"
        for name in ("contradicting", "progress_off", "legacy_off", "miscounted")
        if checks[name]
    ]
    for error, count in errors.items():
        sqlstate, _, group = error.partition(" ")
        if not is_expected(sqlstate, group):
            broken.append(f"SQLSTATE {sqlstate}, {count} times, in transactions of the group {group}")
    return broken


def find_slow(migrations: list[Judged], domains: int, *, truncated: bool) -> list[str]:
    """The promises about time that did not hold. A machine that does other things besides can break them, too.

    Args:
        truncated: TRUNCATE waits for an index build to end, and all others for it: then no wait is judged.
    """
    slow = []
    for what, waits in (
        ("the migration", [one.longest_wait_ms for one in migrations]),
        ("the way back", [one.back_wait_ms for one in migrations if one.back_wait_ms is not None]),
    ):
        if not truncated and waits and max(waits) >= LONGEST_WAIT_MS:
            slow.append(f"a writer waited {max(waits):.0f} ms for {what}, not under {LONGEST_WAIT_MS:.0f} ms")
    ratio = median(one.scans for one in migrations)
    if domains >= LARGE and ratio > TRANSFORM_SCANS:
        slow.append(f"the transform took {ratio:.2f} times one scan, more than {TRANSFORM_SCANS}")
    slow += [
        f"{statement} kept writers out for {held_ms:.1f} ms, not under {LONGEST_HOLD_MS:.0f} ms"
        for statement, held_ms in median_holds(migrations).items()
        if held_ms >= LONGEST_HOLD_MS
    ]
    return slow
