"""How the cost of a migration grows: every step at several sizes, beside one scan of the domains and what cannot be less.

    python tests/load/growth.py --domains 200000 2000000 10000000

For each size the real flow runs on a sample database of its own, and in the same run the floors are timed: pg_dump by
itself, one aggregate over generated_domains, the builds of the indexes, one scan for the validation. Nothing is left behind.
The exit code is 1 if the steps, without benchmarks and restore check, take more than twice the floors at 2M domains, or if
our process needs more memory than it may, or more for more domains.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tasks.core import sql_files
from tasks.core.backup import COMPRESSION
from tasks.core.client_binaries import find_client_binary
from tasks.core.client_process import run_client
from tasks.core.database import Connection, Database, connect
from tasks.core.indexes import online_statement
from tasks.core.sample import build_sample_database, create_database, drop_database
from tasks.core.server import PostgresServer, start_server

ROOT = Path(__file__).parents[2]
# What is neither a benchmark nor a report of one.
STEPS = ("preflight", "backup", "transform", "cut-over", "core-migrations", "validation", "integration-test")
JUDGED_DOMAINS, MOST_OVER_FLOORS = 2_000_000, 2.0
MOST_MEGABYTES, MOST_GROWTH = 300.0, 1.1
DEFINITIONS = "SELECT index_name, definition FROM phases_index_definitions()"
DROP = "SELECT format('DROP INDEX %I', $1::text)"


@dataclass(frozen=True)
class Run:
    """One size. Seconds, milliseconds of the longest lock that kept somebody out, megabytes of our process.

    Attributes:
        scan: one serial aggregate over generated_domains.
        floors: what cannot be less, by its name.
    """

    domains: int
    steps: Mapping[str, float]
    scan: float
    floors: Mapping[str, float]
    longest_lock_ms: float
    peak_megabytes: float

    @property
    def sum_of_steps(self) -> float:
        """Without benchmarks and restore check."""
        return sum(self.steps.values())

    @property
    def sum_of_floors(self) -> float:
        """All floors together."""
        return sum(self.floors.values())

    @property
    def over_floors(self) -> float:
        """How often the floors fit into the steps."""
        return self.sum_of_steps / self.sum_of_floors


class MigrationFailed(Exception):
    """The flow did not succeed; its last words."""


async def measure(server: PostgresServer, directory: Path, domains: int, options: argparse.Namespace) -> Run:
    """Build a sample of so many domains, migrate it by the flow itself, and time the floors around it."""
    name = f"growth_{domains}"
    reports = (options.reports or directory) / f"{name}-report"
    database = await create_database(server.database(), name)
    try:
        await build_sample_database(database, campaigns=options.campaigns, domains=domains, seed=options.seed)
        async with connect(database, purpose="growth", settings={"max_parallel_workers_per_gather": "0"}) as connection:
            await connection.execute("CHECKPOINT")
            await scan(connection)  # from the disk
            first = await scan(connection)
            floors = {"pg_dump": await dump(database, server.major, directory / name), "aggregate scan": first}
        report = await asyncio.to_thread(migrate, database, reports, directory / f"{name}-backup", options)
        async with connect(database, purpose="growth") as connection:
            floors["index builds"] = await build_indexes(connection)
            await connection.execute("SET max_parallel_workers_per_gather = 0")
            floors["validation scan"] = await scan(connection)
    finally:
        await drop_database(server.database(), name)
    seconds = {step["name"]: step["seconds"] for step in report["steps"]}
    return Run(
        domains=domains,
        steps={step: seconds[step] for step in STEPS if step in seconds},
        scan=first,
        floors=floors,
        longest_lock_ms=report["locks"]["longest_exclusive_ms"],
        peak_megabytes=report["peak_rss_mb"],
    )


async def scan(connection: Connection) -> float:
    """Seconds of one aggregate over generated_domains."""
    began = time.monotonic()
    await connection.fetchrow(sql_files.query("count_metrics_once"), timeout=3600)
    return time.monotonic() - began


async def dump(database: Database, major: int, directory: Path) -> float:
    """Seconds of pg_dump alone, as the backup calls it."""
    program = find_client_binary("pg_dump", major, needs_tls=False)
    arguments = ["--format=directory", "--jobs=2", f"--compress={COMPRESSION}", f"--file={directory}", "--verbose"]
    began = time.monotonic()
    await run_client(program, arguments, database.client_environment())
    return time.monotonic() - began


async def build_indexes(connection: Connection) -> float:
    """Seconds of building each index of 000036 again, CONCURRENTLY as the migration must."""
    taken = 0.0
    for row in await connection.fetch(DEFINITIONS):
        await connection.execute(await connection.fetchval(DROP, row["index_name"]))
        began = time.monotonic()
        await connection.execute(online_statement(row["definition"]), timeout=3600)
        taken += time.monotonic() - began
    return taken


def migrate(database: Database, reports: Path, backup: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the flow in a process of its own, and return its report."""
    arguments = ["--mode", "apply", "--report-directory", str(reports), "--backup-directory", str(backup)]
    arguments += ["--benchmark-rounds", str(options.benchmark_rounds), *["--paired"] * options.paired]
    ended = subprocess.run(
        [sys.executable, "-m", "flows.migrate", *arguments],
        cwd=ROOT, env=database.client_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode != 0:
        message = f"flows.migrate ended with {ended.returncode}:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        raise MigrationFailed(message)
    report: dict[str, Any] = json.loads((reports / "report.json").read_text())
    return report


def rows(runs: Sequence[Run]) -> list[list[str]]:
    """The table, one row per step: seconds and their ratio to a scan at each size."""

    def line(name: str, seconds: Sequence[float]) -> list[str]:
        pairs = zip(seconds, runs, strict=True)
        return [name, *(f"{second:.1f} s ({second / run.scan:.1f})" for second, run in pairs)]

    steps = [step for step in STEPS if all(step in run.steps for run in runs)]
    table = [line(step, [run.steps[step] for run in runs]) for step in steps]
    table.append(line("all of these", [run.sum_of_steps for run in runs]))
    table += [line(f"floor: {name}", [run.floors[name] for run in runs]) for name in runs[0].floors]
    table.append(line("all floors", [run.sum_of_floors for run in runs]))
    table.append(["steps over floors", *(f"{run.over_floors:.2f}" for run in runs)])
    table.append(["longest lock", *(f"{run.longest_lock_ms:.0f} ms" for run in runs)])
    table.append(["peak memory of our process", *(f"{run.peak_megabytes:.0f} MB" for run in runs)])
    return table


def judge(runs: Sequence[Run]) -> list[str]:
    """What does not hold."""
    found = [
        f"at {run.domains:,} domains the steps take {run.over_floors:.2f} times the floors"
        for run in runs
        if run.domains == JUDGED_DOMAINS and run.over_floors > MOST_OVER_FLOORS
    ]
    found += [
        f"at {run.domains:,} domains our process takes {run.peak_megabytes:.0f} MB"
        for run in runs
        if run.peak_megabytes > MOST_MEGABYTES
    ]
    least = min(run.peak_megabytes for run in runs)
    if max(run.peak_megabytes for run in runs) > MOST_GROWTH * least:
        found.append("the memory of our process grows with the domains")
    return found


def show(console: Console, runs: Sequence[Run], *, markdown: bool) -> None:
    """Print the table, for people or for the README."""
    head = ["step: seconds (ratio to one scan)", *(f"{run.domains:,} domains" for run in runs)]
    if markdown:
        lines = [head, ["---"] * len(head), *rows(runs)]
        sys.stdout.writelines(f"| {' | '.join(line)} |\n" for line in lines)
        return
    table = Table()
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left")
    for line in rows(runs):
        table.add_row(*line)
    console.print(table)


async def main(options: argparse.Namespace, console: Console) -> int:
    """All sizes, one after another; returns the exit code."""
    runs = []
    with tempfile.TemporaryDirectory(prefix="campaign-growth-", dir=options.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # the server of a superuser runs as another user
        with await start_server(directory / "server", bin_directory=options.postgres_bin) as server:
            for domains in options.domains:
                console.print(f"{domains:,} domains ...")
                run = await measure(server, directory, domains, options)
                runs.append(run)
                show(console, [run], markdown=False)
    show(console, runs, markdown=options.markdown)
    found = judge(runs)
    for problem in found:
        console.print(f"[red]{problem}[/]", highlight=False)
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--domains", type=int, nargs="+", default=[200_000, 2_000_000], help="sizes of the samples")
    parser.add_argument("--campaigns", type=int, default=2000, help="campaigns of each sample")
    parser.add_argument("--seed", type=int, default=7, help="seed of the samples")
    parser.add_argument("--markdown", action="store_true", help="print a table for the README")
    parser.add_argument("--directory", type=Path, help="where server and backups go; 10M domains take 30 GB")
    parser.add_argument("--benchmark-rounds", type=int, default=5, help="rounds of the flow's own benchmark")
    parser.add_argument("--paired", action="store_true", help="let the flow measure both states in turn")
    parser.add_argument("--reports", type=Path, help="keep the flow's reports in this directory")
    parser.add_argument("--postgres-bin", type=Path, help="bin directory of a PostgreSQL, instead of the embedded one")
    sys.exit(asyncio.run(main(parser.parse_args(), Console(width=None if sys.stdout.isatty() else 120))))
