"""Sessions that go on writing while a migration is killed and started again, and remember what was acknowledged."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from typing import Self

import asyncpg

from tasks.core import errors
from tasks.core.database import Connection, Database, connect
from tasks.core.translation import CONNECTION_LOST, FOUND_CLOSED

INSERT = """
    INSERT INTO generated_domains (id, domain_generation_campaign_id, domain_name, dns_status, lead_score)
    SELECT gen_random_uuid(), $1, name, $3, 2 FROM unnest($2::text[]) AS name
"""
# What each model's clients write to campaigns.
CAMPAIGN_WRITES = {
    "legacy": (
        "UPDATE campaigns SET status = 'paused', progress_percentage = 50 WHERE id = $1",
        "INSERT INTO campaigns (name, user_id, campaign_type) SELECT $1, user_id, 'dns_validation' FROM campaigns LIMIT 1",
    ),
    "phases": (
        "UPDATE campaigns SET phase_status = 'paused', progress = 5 WHERE id = $1",
        "INSERT INTO campaigns (name, user_id, current_phase) SELECT $1, user_id, 'dns_validation' FROM campaigns LIMIT 1",
    ),
}
PAUSE_SECONDS = 0.01


@dataclass
class Writers:
    """Writers of a database: `async with Writers(database) as writers: ...`.

    Attributes:
        domains: the dns_status of every domain that was acknowledged, by its name.
        campaigns: names of the campaigns that were acknowledged.
        unsure: names in a statement whose acknowledgement never came: they may be there or not.
        writes: how many statements were acknowledged.
        failures: by SQLSTATE, without what a lost connection or the end of the legacy columns brings.
    """

    database: Database
    sessions: int = 2
    domains: dict[str, str | None] = field(default_factory=dict)
    campaigns: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    writes: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _over: bool = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(self.sessions)]
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def assert_nothing_is_lost(self, connection: Connection) -> None:
        """Every acknowledged write is there, and nothing that was acknowledged as deleted."""
        rows = await connection.fetch(
            "SELECT domain_name, dns_status FROM generated_domains WHERE domain_name LIKE 'w%.kill'"
        )
        found = {row["domain_name"]: row["dns_status"] for row in rows}
        assert {name: status for name, status in found.items() if name not in self.unsure} == {
            name: status for name, status in self.domains.items() if name not in self.unsure
        }
        names = {row["name"] for row in await connection.fetch("SELECT name FROM campaigns WHERE name LIKE 'w%.kill'")}
        assert self.campaigns <= names

    async def _write(self, number: int) -> None:
        chance = random.Random(number)
        while not self._over:
            try:
                async with connect(self.database, settings={"application_name": "writer"}) as connection:
                    await self._go_on(connection, number, chance)
            except (errors.ServerUnreachable, *CONNECTION_LOST, *FOUND_CLOSED):
                await asyncio.sleep(PAUSE_SECONDS)

    async def _go_on(self, connection: Connection, number: int, chance: random.Random) -> None:
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM campaigns ORDER BY id LIMIT 20")]
        model = "legacy"
        while not self._over:
            names: list[str] = []
            try:
                async with connection.transaction():
                    changed: dict[str, str | None] = {}
                    for _ in range(chance.randint(1, 3)):
                        names += (
                            step := await self._change_domains(connection, number, chance, chance.choice(ids), changed)
                        )
                        changed |= step
                self._acknowledge(changed)
                names = [f"w{number}.{uuid.uuid4().hex}.kill"]
                update, insert = CAMPAIGN_WRITES[model]
                await connection.execute(update, chance.choice(ids))
                if chance.random() < 0.1:
                    await connection.execute(insert, names[0])
                    self.campaigns.add(names[0])
            except asyncpg.UndefinedColumnError:
                model = "phases" if model == "legacy" else "legacy"
            except (*CONNECTION_LOST, *FOUND_CLOSED):
                self.unsure |= set(names)
                raise
            except asyncpg.PostgresError as error:
                state = str(error.sqlstate)
                self.failures[state] = self.failures.get(state, 0) + 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _change_domains(
        self,
        connection: Connection,
        number: int,
        chance: random.Random,
        campaign: uuid.UUID,
        touched: dict[str, str | None],
    ) -> dict[str, str | None]:
        """Insert, update or delete some of this writer's own domains. Returns their names and their status then."""
        mine = [
            name
            for name in self.domains
            if name.startswith(f"w{number}.") and name not in self.unsure and name not in touched
        ]
        status = chance.choice(["ok", "error", None])
        kind = chance.choice(["insert", "insert", "update", "delete"]) if mine else "insert"
        if kind == "insert":
            names = [f"w{number}.{uuid.uuid4().hex}.kill" for _ in range(chance.randint(1, 9))]
            await connection.execute(INSERT, campaign, names, status)
            return dict.fromkeys(names, status)
        names = chance.sample(mine, min(len(mine), 5))
        if kind == "update":
            await connection.execute(
                "UPDATE generated_domains SET dns_status = $2 WHERE domain_name = ANY ($1)", names, status
            )
            return dict.fromkeys(names, status)
        await connection.execute("DELETE FROM generated_domains WHERE domain_name = ANY ($1)", names)
        return dict.fromkeys(names, DELETED)

    def _acknowledge(self, changed: dict[str, str | None]) -> None:
        self.writes += 1
        self.domains |= changed
        for name, status in changed.items():
            if status == DELETED:
                del self.domains[name]


DELETED = "deleted"
