"""What the metric triggers cost a writer: the same writes with and without them, in turns.

    python tests/load/metric_costs.py --domains 2000000

The two sides are a migrated database and a copy of it without the triggers: the same rows, indexes and pages. Everything is
timed with its commit. Where the server runs on this machine its own processor time is measured too, which is not disturbed
by what else the machine does. Nothing is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tasks.core import core_migrations, run, transform
from tasks.core.database import Connection, Database, connect
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import start_server
from tasks.core.settings import MigrateParameters

DROP_TRIGGER = "DROP TRIGGER {} ON generated_domains"
TRIGGERS = ("zzz_campaign_metrics_insert", "zzz_campaign_metrics_update", "zzz_campaign_metrics_delete")
# Executions that are not counted: plans are cached after five.
WARM_UPS = 12
RESAMPLES = 2000
# The targets, as ratios to the same write without the triggers.
BULK_TARGET, SINGLE_TARGET = 1.05, 1.6

FILL_BATCH = """
INSERT INTO generated_domains
    (domain_generation_campaign_id, domain_name, source_keyword, tld, offset_index, dns_status, http_status, lead_score)
SELECT ($1::uuid[])[1 + n % cardinality($1::uuid[])], 'cost-' || $2 || '-' || n || '.test', 'cost', 'test', 2000000000 + n,
    CASE WHEN n % 3 > 0 THEN 'ok' ELSE 'pending' END, CASE WHEN n % 4 = 0 THEN 'ok' END, CASE WHEN n % 8 = 0 THEN n % 100 END
FROM generate_series(1, $3::integer) AS n
"""
UPDATE_BATCH = """
UPDATE generated_domains SET dns_status = 'ok', http_status = 'error', last_validated_at = now()
WHERE domain_generation_campaign_id = ANY ($1::uuid[]) AND offset_index > 2000000000
"""
DELETE_BATCH = """
DELETE FROM generated_domains WHERE domain_generation_campaign_id = ANY ($1::uuid[]) AND offset_index > 2000000000
"""
INSERT_ROW = """
INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, tld, offset_index, dns_status)
VALUES ($1, $2, 'test', 2000000000 + $3::bigint, 'ok')
"""
UPDATE_ROW = """
UPDATE generated_domains SET http_status = $3, last_validated_at = now()
WHERE domain_generation_campaign_id = $1 AND domain_name = $2
"""
PICK_CAMPAIGNS = """
SELECT array_agg(id ORDER BY id) FROM (
    SELECT id FROM campaigns WHERE domains BETWEEN 1 AND 5000 ORDER BY md5(id::text) LIMIT $1
) AS drawn
"""


@dataclass(frozen=True)
class Cost:
    """One kind of write. Milliseconds are medians; the ratio is theirs, with a 95% bootstrap interval.

    Attributes:
        processor_ratio: of the server process's time on a processor, commit included; None where it cannot be read.
    """

    name: str
    without_ms: float
    with_ms: float
    ratio: float
    low: float
    high: float
    target: float
    processor_ratio: float | None


@dataclass
class Side:
    """One of the two databases, and what was measured there: milliseconds by kind of write."""

    connection: Connection
    schedule: Path
    wall: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    async def of(cls, connection: Connection) -> Side:
        """A connection that measures."""
        return cls(connection, Path(f"/proc/{await connection.fetchval('SELECT pg_backend_pid()')}/schedstat"))

    def _processor_ms(self) -> float | None:
        try:
            return int(self.schedule.read_text().split()[0]) / 1e6
        except OSError:  # the server is elsewhere, or the system has no such file
            return None

    async def time(self, name: str, statement: str, *values: object) -> None:
        """Run a statement with its commit and note what it took."""
        used = self._processor_ms()
        began = time.perf_counter()
        await self.connection.execute(statement, *values)
        self.wall.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        now = self._processor_ms()
        if used is not None and now is not None:
            self.processor.setdefault(name, []).append(now - used)


class Trial:
    """The two sides in turns. Which goes first changes, so that what disturbs one disturbs the other as often."""

    def __init__(self, without: Side, triggered: Side, campaigns: list[uuid.UUID]) -> None:
        self._sides = (without, triggered)
        self._campaigns = campaigns
        self._number = 0

    def _turn(self) -> tuple[Side, ...]:
        self._number += 1
        return self._sides if self._number % 2 else self._sides[::-1]

    async def bulk(self, rows: int, campaigns: int) -> None:
        """One bulk insert and one bulk update of so many rows in so many campaigns on each side."""
        chosen, where = self._campaigns[:campaigns], f"{rows:,} rows in {campaigns}"
        sides = self._turn()
        for side in sides:
            await side.time(f"insert of {where}", FILL_BATCH, chosen, str(self._number), rows)
        for side in sides:
            await side.time(f"update of {where}", UPDATE_BATCH, chosen)
        for side in sides:
            await side.connection.execute(DELETE_BATCH, chosen)

    async def single(self, rounds: int) -> None:
        """Single-row inserts and updates on each side, each its own transaction."""
        for turn in range(-WARM_UPS, rounds):
            label = "a row" if turn >= 0 else "warm-up"
            sides = self._turn()
            name = f"single-{self._number}.test"
            campaign = self._campaigns[self._number % len(self._campaigns)]
            for side in sides:
                await side.time(f"insert of {label}", INSERT_ROW, campaign, name, self._number)
            for side in sides:
                await side.time(f"update of {label}", UPDATE_ROW, campaign, name, "ok")
        for side in self._sides:
            await side.connection.execute(DELETE_BATCH, self._campaigns)

    async def vacuum(self) -> None:
        """Give back what the deleted rows took."""
        for side in self._sides:
            await side.connection.execute("VACUUM generated_domains")

    def costs(self) -> list[Cost]:
        """What was measured."""
        without, triggered = self._sides
        return [_cost(name, without, triggered) for name in without.wall if "warm-up" not in name]


def _cost(name: str, without: Side, triggered: Side) -> Cost:
    before, after = np.array(without.wall[name]), np.array(triggered.wall[name])
    random = np.random.default_rng(1)
    ratios = [
        np.median(random.choice(after, after.size)) / np.median(random.choice(before, before.size))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(ratios, [2.5, 97.5])
    processor = None
    if name in without.processor and name in triggered.processor:
        processor = float(np.median(triggered.processor[name]) / np.median(without.processor[name]))
    return Cost(
        name=name,
        without_ms=float(np.median(before)),
        with_ms=float(np.median(after)),
        ratio=float(np.median(after) / np.median(before)),
        low=float(low),
        high=float(high),
        target=SINGLE_TARGET if name.endswith("a row") else BULK_TARGET,
        processor_ratio=processor,
    )


async def measure(
    without: Database, triggered: Database, *, bulk_rounds: int, bulk_rows: int, spread: int, single_rounds: int
) -> list[Cost]:
    """Measure on a migrated database and its copy without triggers.

    Args:
        spread: the campaigns that half of the bulk writes go to; the others go to one.
    """
    async with connect(without, purpose="metric costs") as one, connect(triggered, purpose="metric costs") as other:
        campaigns = await other.fetchval(PICK_CAMPAIGNS, max(spread, 20))
        trial = Trial(await Side.of(one), await Side.of(other), campaigns)
        for _ in range(bulk_rounds):
            await trial.bulk(bulk_rows, 1)
            await trial.bulk(bulk_rows, spread)
            await trial.vacuum()
        await trial.single(single_rounds)
    return trial.costs()


async def copy_without_triggers(server: Database, database: Database, name: str) -> Database:
    """A copy of a migrated database that counts nothing."""
    copy = await create_database(server, name, template=database.database)
    async with connect(copy, purpose="metric costs") as connection:
        for trigger in TRIGGERS:
            await connection.execute(DROP_TRIGGER.format(trigger))
    return copy


async def migrate(database: Database) -> None:
    """The whole migration, as the pipeline does it."""
    parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "metric costs"):
        await transform.transform(database, parameters, run_id, lambda *_: None)
        await core_migrations.apply_core_migrations(database, parameters, run_id, lambda *_: None)


def show(console: Console, costs: list[Cost]) -> None:
    """Print the figures."""
    table = Table(title="Cost of the metric triggers")
    for name in ("write, with its commit", "without ms", "with ms", "ratio", "95% interval", "processor", "target"):
        table.add_column(name, justify="left" if name.startswith("write") else "right")
    for cost in costs:
        table.add_row(
            cost.name, f"{cost.without_ms:.2f}", f"{cost.with_ms:.2f}", f"{cost.ratio:.3f}",
            f"{cost.low:.3f} .. {cost.high:.3f}", f"{cost.processor_ratio:.3f}" if cost.processor_ratio else "-",
            f"{cost.target:.2f}",
        )  # fmt: skip
    console.print(table)


async def main(options: argparse.Namespace) -> None:
    """Build, migrate, measure, print."""
    with tempfile.TemporaryDirectory(prefix="campaign-costs-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with await start_server(directory / "server", bin_directory=options.postgres_bin) as server:
            database = await create_database(server.database(), "costs")
            await build_sample_database(database, domains=options.domains)
            await migrate(database)
            copy = await copy_without_triggers(server.database(), database, "costs_without")
            costs = await measure(
                copy,
                database,
                bulk_rounds=options.rounds,
                bulk_rows=10_000,
                spread=200,
                single_rounds=100 * options.rounds,
            )
    show(Console(width=None if sys.stdout.isatty() else 120), costs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--domains", type=int, default=200_000, help="domains of the sample")
    parser.add_argument("--rounds", type=int, default=12, help="measured rounds")
    parser.add_argument("--postgres-bin", type=Path, help="bin directory of a PostgreSQL, instead of the embedded one")
    asyncio.run(main(parser.parse_args()))
