"""Migrate a sample database while writers are at work on it, and show what they notice.

    python tests/load/run.py --writers 8 --domains 2000000 --migrations 5
    python tests/load/run.py --writers 8 --domains 2000000 --migrations 5 --way-back

With --way-back the migration is then taken back under the same load, and held to the same promises.

The same load runs twice, on two copies of one database: once with the migration, once without. Further migrations, each under
the same load on a copy of its own, give the medians of what one run says too little about. Nothing is left behind.
The exit code is 1 if a promise did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))

from tasks.core.connection_strings import database_from_surroundings
from tasks.core.database import Database, connect
from tasks.core.sample import build_sample_database, create_database, drop_database
from tasks.core.server import start_server
from tests.load import results, table
from tests.load.load import Load, LoadOptions, Window, load, windows
from tests.load.recount import Recount, recount
from tests.load.work import Migration, WayBack

WARM_UP_SECONDS = 2.0
# Seconds before and after what is migrated for its medians alone.
SHORT = (2.0, 1.0)
# Both copies start from written-out pages and marked rows, whichever runs first.
SETTLE = ("VACUUM (ANALYZE) campaigns", "CHECKPOINT")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--writers", type=int, default=8, help="writer sessions, each a process of its own")
    parser.add_argument("--campaigns", type=int, default=2000, help="campaigns of the sample")
    parser.add_argument("--domains", type=int, default=200_000, help="domains of the sample")
    parser.add_argument("--seconds-before", type=float, default=10.0, help="load before the migration")
    parser.add_argument("--seconds-after", type=float, default=10.0, help="load after the migration")
    parser.add_argument("--pause-ms", type=float, default=20.0, help="mean pause of a writer between transactions")
    parser.add_argument("--hold-ms", type=float, default=200.0, help="how long dawdling transactions stay open")
    parser.add_argument("--seed", type=int, default=7, help="seed of the sample and of the writers")
    parser.add_argument(
        "--truncate-every",
        type=float,
        default=0.0,
        help="mean seconds between two TRUNCATEs of generated_domains; 0: none",
    )
    parser.add_argument(
        "--migrations", type=int, default=1, help="how many to measure; locks and the transform are judged by medians"
    )
    parser.add_argument("--way-back", action="store_true", help="then take the migration back, under the same load")
    parser.add_argument("--no-control", action="store_true", help="skip the same load without a migration")
    parser.add_argument("--postgres-bin", type=Path, help="bin directory of a PostgreSQL, instead of the embedded one")
    parser.add_argument("--database-url", help="server to make the sample databases on, instead of starting one")
    parser.add_argument("--verbose", action="store_true", help="also show what the migration logs")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args(arguments)


async def main(options: argparse.Namespace, console: Console) -> int:
    """The whole run; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="campaign-load-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # the server of a superuser runs as another user
        if options.database_url is not None:
            report = await measure(database_from_surroundings(options.database_url), options, directory, console)
        else:
            server = await start_server(directory / "server", bin_directory=options.postgres_bin)
            with server:
                report = await measure(server.database(), options, directory, console)
    table.show(console, report)
    if options.json is not None:
        options.json.write_text(report.model_dump_json(indent=2))
    return 1 if report.broken or report.slow else 0


async def measure(
    server: Database, options: argparse.Namespace, directory: Path, console: Console
) -> results.LoadReport:
    """Build the sample, run the load with and without the migration, and compute the figures.

    Args:
        server: a database of the server on which two sample databases are made, and dropped at the end.
    """
    mark = uuid.uuid4().hex[:8]
    template = f"load_template_{mark}"
    names = [f"load_{mark}", f"load_control_{mark}"]
    how = LoadOptions(options.writers, options.seed, options.pause_ms, options.hold_ms, options.truncate_every)
    lengths = (options.seconds_before, options.seconds_after)

    async def once(number: int, lengths: tuple[float, float]) -> Migrated:
        console.print(f"Migration {number} of {options.migrations} ...")
        copy = await create_database(server, names[0], template=template)
        migration = Migration(copy, console)
        way_back = WayBack(copy, console) if options.way_back else None
        loaded = await under_load(copy, how, directory, plan(lengths, migration, way_back))
        counted = await recount(
            copy,
            loaded.writers,
            truncated=options.truncate_every > 0,
            metrics=way_back.metrics if way_back else None,
            original=original if way_back else None,
        )
        locks = [*migration.locks, *(way_back.locks if way_back else [])]
        judged = results.judge(locks, migration.result, loaded, counted)
        return Migrated(copy, migration, way_back, loaded, counted, judged)

    try:
        console.print(f"Building {options.domains:,} domains in {options.campaigns:,} campaigns ...")
        original = await create_database(server, template)
        await build_sample_database(original, campaigns=options.campaigns, domains=options.domains, seed=options.seed)
        further = []
        for number in range(1, options.migrations):
            further.append((await once(number, SHORT)).judged)
            await drop_database(server, names[0])
        migrated = await once(options.migrations, lengths)
        control = None
        if not options.no_control:
            spans = [Window(name, ended - began) for name, (began, ended) in migrated.load.spans.items()]
            console.print(f"The same load without a migration, {sum(span.seconds for span in spans):.0f} s long ...")
            unmigrated = await create_database(server, names[1], template=template)
            control = await under_load(unmigrated, how, directory, spans)
        return await compute(options, migrated, control, further)
    finally:
        for database_name in (*names, template):
            await drop_database(server, database_name)


@dataclass(frozen=True)
class Migrated:
    """A database that was migrated under load, and taken back where that was asked for."""

    database: Database
    migration: Migration
    way_back: WayBack | None
    load: Load
    counted: Recount
    judged: results.Judged


def plan(lengths: tuple[float, float], migration: Migration, way_back: WayBack | None) -> list[Window]:
    """What happens one after the other while the load goes on."""
    before, after = lengths
    windows_up = [Window("before", before), Window("during", work=migration), Window("after", after)]
    if way_back is None:
        return windows_up
    return [
        *windows_up,
        Window("recount", work=way_back.count),
        Window(results.WAY_BACK, work=way_back),
        Window("back again", after),
    ]


async def under_load(database: Database, how: LoadOptions, directory: Path, spans: list[Window]) -> Load:
    """Let the windows pass on a database."""
    async with connect(database, purpose="settling") as connection:
        for statement in SETTLE:
            await connection.execute(statement)
    async with load(database, how, directory) as running:
        await running.last(WARM_UP_SECONDS)
        await windows(running, spans)
    return running


async def compute(
    options: argparse.Namespace, migrated: Migrated, control: Load | None, further: list[results.Judged]
) -> results.LoadReport:
    """The report of a run that came to its end."""
    monitor = migrated.load.monitor
    assert monitor is not None
    async with connect(migrated.database, purpose="report") as connection:
        version = await connection.fetchval("SELECT current_setting('server_version')")
    judged = [migrated.judged, *further]
    back_waits = [one.back_wait_ms for one in judged if one.back_wait_ms is not None]
    texts: dict[str, str] = {}
    for writer in migrated.load.writers:
        texts |= writer.error_texts
    way_back = migrated.way_back
    return results.LoadReport(
        server_version=version.split()[0],
        domains=options.domains,
        writers=options.writers,
        truncate_every=options.truncate_every,
        control=results.by_window(control) if control is not None else {},
        migrated=results.by_window(migrated.load),
        phases=results.by_phase(migrated.load, migrated.migration.steps, "during"),
        back_phases=results.by_phase(migrated.load, way_back.steps, results.WAY_BACK) if way_back else {},
        errors=results.count_errors(migrated.load),
        control_errors=results.count_errors(control) if control is not None else {},
        error_texts=texts,
        longest_wait_ms=max(one.longest_wait_ms for one in judged),
        back_wait_ms=max(back_waits, default=None),
        waits=sorted(monitor.waits, key=lambda wait: -wait.seconds),
        looks=monitor.looks,
        longest_gap_ms=round(monitor.longest_gap * 1000, 1),
        typical_gap_ms=round(monitor.typical_gap * 1000, 1),
        locks=migrated.judged.locks,
        migrations=judged,
        transform=migrated.migration.result,
        recount=migrated.counted,
        checks=results.sum_checks(migrated.load),
        check_examples=[example for check in monitor.checks for example in check.examples][:10],
        broken=[promise for one in judged for promise in one.broken],
        slow=results.find_slow(judged, options.domains, truncated=options.truncate_every > 0),
    )


if __name__ == "__main__":
    given = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO if given.verbose else logging.WARNING, format="%(message)s")
    sys.exit(asyncio.run(main(given, Console(width=None if sys.stdout.isatty() else 120))))
