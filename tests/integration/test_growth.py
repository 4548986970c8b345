"""How the cost of a migration grows: the program that measures it, small; and by the marker `large` at the sizes it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "load" / "growth.py"
LINES = {
    "preflight", "backup", "transform", "cut-over", "core-migrations", "validation", "integration-test", "all of these",
    "floor: pg_dump", "floor: aggregate scan", "floor: index builds", "floor: validation scan", "all floors",
    "steps over floors", "longest lock", "peak memory of our process",
}  # fmt: skip


def grow(directory: Path, *sizes: int, campaigns: int) -> tuple[int, dict[str, list[str]]]:
    """Run the program; its exit code and its table, by the first cell of each line."""
    ended = subprocess.run(
        [
            sys.executable, str(PROGRAM), "--domains", *map(str, sizes), "--campaigns", str(campaigns), "--markdown",
            "--directory", str(directory),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line.strip("| ").split(" | ") for line in ended.stdout.splitlines() if line.startswith("| ")]
    assert lines, ended.stdout + ended.stderr
    return ended.returncode, {cells[0]: cells[1:] for cells in lines[2:]}


def megabytes(cell: str) -> float:
    return float(cell.removesuffix(" MB"))


def test_every_step_stands_beside_a_scan_and_the_floors(server_directory: Path) -> None:
    code, table = grow(server_directory, 2_000, campaigns=60)
    assert code == 0
    assert table.keys() == LINES
    assert all(len(cells) == 1 for cells in table.values())
    assert list(server_directory.iterdir()) == []


@pytest.mark.large
@pytest.mark.timeout(7200)
def test_seconds_grow_with_the_domains_while_locks_and_memory_do_not(server_directory: Path) -> None:
    """Twelve minutes on two quiet cores, and 30 GB."""
    code, table = grow(server_directory, 200_000, 2_000_000, 10_000_000, campaigns=2000)
    assert code == 0, table
    assert max(map(megabytes, table["peak memory of our process"])) < 300
    assert all(float(cell.removesuffix(" ms")) < 50 for cell in table["longest lock"])
    scans = [float(cell.partition("(")[2].removesuffix(")")) for cell in table["all of these"]]
    assert scans == sorted(scans, reverse=True), "the steps grow faster than a scan"
