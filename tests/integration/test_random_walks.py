"""Random walks: up, half-way up, down, kills at any statement and the application's writes, in random order.

Beside the database walks a simple model in Python that says what each row must be, whichever columns are there.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from tasks.core import errors, state
from tasks.core.database import Connection, Database, connect
from tasks.core.models import State
from tests.chain import MISCOUNTED, Chain, difference
from tests.kill.driven import Driven, driver
from tests.kill.ground import VERSION_TABLE, go_back, migrate, sigkill, strike

PHASE_OF = {
    "domain_generation": "generation", "dns_validation": "dns_validation", "http_keyword_validation": "http_keyword_validation",
    "analysis": "analysis", "comprehensive": "generation", "automated": "generation",
}  # fmt: skip
PHASE_STATUS_OF = {
    "pending": "not_started", "queued": "not_started", "running": "in_progress", "pausing": "paused", "paused": "paused",
    "completed": "completed", "archived": "completed", "failed": "failed", "cancelled": "failed",
}  # fmt: skip
TYPE_OF = {"setup": "domain_generation", "generation": "domain_generation"} | {
    phase: phase for phase in ("dns_validation", "http_keyword_validation", "analysis")
}
STATUS_OF = {"not_started": "pending", "in_progress": "running"} | {
    status: status for status in ("paused", "completed", "failed")
}
OF_EVERY_PHASE = ("comprehensive", "automated")
# More than any run has statements: then it comes to its end.
LAST_POINT = 150


@dataclass
class Row:
    """What a campaign must be: its legacy values as a way back would give them, its phases as the way up would."""

    kept: tuple[str, str] | None  # type and status as they were last written on the legacy side
    phase: str
    phase_status: str
    launch: bool
    updated_at: Any

    @property
    def legacy(self) -> tuple[str, str]:
        """A kept value holds as long as it maps to the phase; otherwise the inverse mapping gives one."""
        kind, status = self.kept or (None, None)
        if kind is None or (kind not in OF_EVERY_PHASE and PHASE_OF[kind] != self.phase):
            kind = TYPE_OF[self.phase]
        if status is None or PHASE_STATUS_OF[status] != self.phase_status:
            status = STATUS_OF[self.phase_status]
        return kind, status


@dataclass
class Walk:
    """A database on its way, and the model beside it."""

    database: Database
    driven: Driven
    chance: random.Random
    rows: dict[UUID, Row] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    legacy: bool = True
    phases: bool = False
    where: State = State.LEGACY

    async def begin(self) -> None:
        async with connect(self.database) as connection:
            await connection.execute(VERSION_TABLE)
            for row in await connection.fetch(
                "SELECT id, campaign_type, status, launch_sequence, updated_at FROM campaigns"
            ):
                kind, status = row["campaign_type"], row["status"]
                self.rows[row["id"]] = Row(
                    (kind, status), PHASE_OF[kind], PHASE_STATUS_OF[status], row["launch_sequence"], row["updated_at"]
                )

    async def step(self) -> None:
        """One step at random; then every row is looked at."""
        kind = self.chance.choice(["write"] * 5 + ["up", "down", "killed up", "killed down", "killed down"])
        if kind == "write":
            async with connect(self.database) as connection:
                for _ in range(self.chance.randint(1, 6)):
                    await self._write(connection)
        elif kind == "up":
            self.steps.append("up")
            with contextlib.suppress(errors.StepFailed) if self.where is State.RETURNING else contextlib.nullcontext():
                await migrate(self.database)
        elif kind == "down":
            self.steps.append("down")
            with contextlib.suppress(errors.NothingToRollBack):
                await go_back(self.database)
        else:
            point = self.chance.randint(1, LAST_POINT)
            self.steps.append(f"{kind} at {point}")
            await strike(
                self.driven, self.database, "migrate" if kind == "killed up" else "rollback", point, sigkill,
                during=self.chance.random() < 0.5,
            )  # fmt: skip
        await self.look()

    async def look(self) -> None:
        """Where the database stands, and whether every row is what the model says."""
        async with connect(self.database) as connection:
            self.where = await state.read_state(connection)
            names = {
                row[0]
                for row in await connection.fetch(
                    "SELECT attname FROM pg_attribute WHERE attrelid = 'campaigns'::regclass AND NOT attisdropped"
                )
            }
            self.legacy, self.phases = "campaign_type" in names, "current_phase" in names
            found = {row["id"]: row for row in await connection.fetch("SELECT * FROM campaigns")}
            filled = not self.phases or not await connection.fetchval(
                "SELECT to_regclass('campaign_metrics_baseline') IS NULL"
            )
            if self.phases and filled and self.where in {State.CONTRACTED, State.MIGRATED, State.RETURNING}:
                assert await connection.fetch(MISCOUNTED) == [], self.steps
        assert found.keys() == self.rows.keys(), self.steps
        for key, row in self.rows.items():
            self._compare(row, found[key], key)
            if self.legacy and found[key]["status"] is not None and found[key]["campaign_type"] is not None:
                row.kept = row.legacy  # what stands in the columns is what counts from here on
            if not self.phases:
                assert row.kept is not None
                row.phase, row.phase_status = PHASE_OF[row.kept[0]], PHASE_STATUS_OF[row.kept[1]]

    def _compare(self, row: Row, found: Any, key: UUID) -> None:
        what = f"{key} after {self.steps}: {dict(found)}"
        assert found["updated_at"] == row.updated_at, what
        if self.legacy:
            values = (found["campaign_type"], found["status"])
            # Between the return of the columns and the end of the fill a row may be empty.
            assert values == row.legacy or (self.where is State.RETURNING and values == (None, None)), (what, row)
            assert found["launch_sequence"] in (
                (row.launch, None) if self.where is State.RETURNING else (row.launch,)
            ), what
        if self.phases:
            seen = (found["current_phase"], found["phase_status"])
            assert seen == (row.phase, row.phase_status) or (self.where is State.DUAL and seen == (None, None)), (
                what,
                row,
            )

    async def _write(self, connection: Connection) -> None:
        sides = [side for side, there in (("legacy", self.legacy), ("phases", self.phases)) if there]
        side, key = self.chance.choice(sides), self.chance.choice([*self.rows])
        row = self.rows[key]
        kind = self.chance.choice(["update", "update", "update", "insert", "delete", "domains"])
        self.steps.append(f"{kind} {side} {key}")
        if kind == "domains":
            await connection.execute(
                "INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, dns_status)"
                " SELECT $1, gen_random_uuid()::text, 'ok' FROM generate_series(1, 3)",
                key,
            )
            await self._note_filled(row)
        elif kind == "delete":
            await connection.execute("DELETE FROM campaigns WHERE id = $1", key)
            del self.rows[key]
        elif kind == "insert":
            await self._insert(connection, side)
        elif side == "legacy":
            await self._update_legacy(connection, key, row)
        else:
            await self._update_phases(connection, key, row)

    async def _note_filled(self, row: Row) -> None:
        """On the way back a row is filled when it is written; the columns then say what holds."""
        if self.legacy:
            row.kept = row.legacy

    async def _insert(self, connection: Connection, side: str) -> None:
        first, second, one, two = (
            ("campaign_type", "status", self.chance.choice([*PHASE_OF]), self.chance.choice([*PHASE_STATUS_OF]))
            if side == "legacy"
            else ("current_phase", "phase_status", self.chance.choice([*TYPE_OF]), self.chance.choice([*STATUS_OF]))
        )
        made = await connection.fetchrow(
            f"INSERT INTO campaigns (name, user_id, {first}, {second}) SELECT 'walk', user_id, $1, $2 FROM campaigns LIMIT 1"
            " RETURNING id, updated_at",
            one, two,
        )  # fmt: skip
        assert made is not None
        if side == "legacy":
            row = Row((one, two), PHASE_OF[one], PHASE_STATUS_OF[two], launch=False, updated_at=made["updated_at"])
        else:
            row = Row(None, one, two, launch=False, updated_at=made["updated_at"])
            await self._note_filled(row)
        self.rows[made["id"]] = row

    async def _update_legacy(self, connection: Connection, key: UUID, row: Row) -> None:
        await self._note_filled(row)
        assert row.kept is not None
        kind, status = row.kept
        launch = self.chance.random() < 0.5
        if self.chance.random() < 0.5:
            kind = self.chance.choice([*PHASE_OF])
            statement = "UPDATE campaigns SET campaign_type = $2, launch_sequence = $3 WHERE id = $1"
            stamped = await connection.fetchval(f"{statement} RETURNING updated_at", key, kind, launch)
        else:
            status = self.chance.choice([*PHASE_STATUS_OF])
            statement = "UPDATE campaigns SET status = $2, launch_sequence = $3 WHERE id = $1"
            stamped = await connection.fetchval(f"{statement} RETURNING updated_at", key, status, launch)
        # Who writes the value that was there has changed nothing.
        if kind != row.kept[0]:
            row.phase = PHASE_OF[kind]
        if status != row.kept[1]:
            row.phase_status = PHASE_STATUS_OF[status]
        row.kept, row.launch, row.updated_at = (kind, status), launch, stamped

    async def _update_phases(self, connection: Connection, key: UUID, row: Row) -> None:
        await self._note_filled(row)
        if self.chance.random() < 0.5:
            row.phase = self.chance.choice([*TYPE_OF])
            column, value = "current_phase", row.phase
        else:
            row.phase_status = self.chance.choice([*STATUS_OF])
            column, value = "phase_status", row.phase_status
        row.updated_at = await connection.fetchval(
            f"UPDATE campaigns SET {column} = $2 WHERE id = $1 RETURNING updated_at", key, value
        )
        await self._note_filled(row)


@pytest.fixture
async def driven() -> AsyncIterator[Driven]:
    async with driver() as running:
        yield running


async def _walk(legacy_database: Database, driven: Driven, *, seed: int, steps: int) -> None:
    chain = Chain(legacy_database)
    walk = Walk(legacy_database, driven, random.Random(seed))
    await walk.begin()
    schema = chain.dump()
    for _ in range(steps):
        await walk.step()
    with contextlib.suppress(errors.NothingToRollBack):
        await go_back(legacy_database)
    await walk.look()
    assert walk.where is State.LEGACY
    assert difference(chain.dump(), schema) == [], walk.steps


async def test_on_a_random_walk_every_row_is_always_what_the_model_says(
    legacy_database: Database, driven: Driven
) -> None:
    await _walk(legacy_database, driven, seed=3, steps=14)


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 125))
async def test_on_many_long_walks_too(legacy_database: Database, driven: Driven, seed: int) -> None:
    await _walk(legacy_database, driven, seed=seed, steps=40)
