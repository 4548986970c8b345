"""What one writer does: transactions of every kind, drawn at random, and a tally of what they committed."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Literal
from uuid import UUID

import asyncpg

from tasks.core.database import Connection
from tests.load import statements as sql
from tests.load.models import CAMPAIGNS, DOMAINS, SNAPSHOT, TRUNCATING, Attempt, OwnRow, WriterOrders
from tests.load.owned import OwnRows

CHECK_VALUES = ("pending", "ok", "error", "timeout", None)
# Offsets of rows of the writers' own lie beyond those of the sample.
FIRST_OFFSET = 1_000_000_000
SAMPLE_OFFSETS = 200
UNDEFINED_COLUMN = "42703"

# Its id and its user's.
Campaign = tuple[UUID, UUID | None]
Work = Callable[["Pending"], Awaitable[None]]
Pending = dict[str, OwnRow | None]


@dataclass(frozen=True)
class Kind:
    """A kind of transaction: how often it is drawn, and what it touches."""

    weight: float
    work: Work
    group: str = DOMAINS
    single: bool = False
    isolation: Literal["repeatable_read"] | None = None
    dawdles: bool = False


class Workload:
    """The transactions of one writer."""

    def __init__(self, connection: Connection, orders: WriterOrders, campaigns: list[Campaign]) -> None:
        self.rows = OwnRows()
        self.attempts: list[Attempt] = []
        self.error_texts: dict[str, str] = {}
        self._connection = connection
        self._orders = orders
        self._random = Random(f"{orders.seed} {orders.index}")
        # Every writer has the same favourites, so that they meet.
        self._campaigns = campaigns
        Random(orders.seed).shuffle(self._campaigns)
        self._users = sorted({user for _, user in campaigns if user is not None})
        self._own_campaigns: list[UUID] = []
        self._after_commit: list[Callable[[], None]] = []
        self._next = 0
        self._wanted: sql.Application = sql.Phases if orders.index % 2 else sql.Legacy
        self._application: sql.Application = sql.Legacy
        self._kinds = self._describe_kinds()

    def _describe_kinds(self) -> dict[str, Kind]:
        return {
            "insert": Kind(22, self._insert, single=True),
            "insert many": Kind(8, self._insert_many, single=True),
            "copy": Kind(4, self._copy, single=True),
            "update": Kind(12, self._update, single=True),
            "update validated": Kind(12, self._update_sample, single=True),
            "move": Kind(5, self._move, single=True),
            "upsert": Kind(7, self._upsert, single=True),
            "delete": Kind(7, self._delete, single=True),
            "several": Kind(7, self._several),
            "savepoint": Kind(2, self._savepoint),
            "dawdle": Kind(0.7, self._several, dawdles=True),
            "repeatable read": Kind(2, self._several, SNAPSHOT, isolation="repeatable_read"),
            "read": Kind(4, self._read, CAMPAIGNS, single=True),
            "read in transaction": Kind(1, self._read_twice, CAMPAIGNS),
            "progress": Kind(3, self._progress, CAMPAIGNS, single=True),
            "status": Kind(4, self._set_status, CAMPAIGNS, single=True),
            "status and domains": Kind(1, self._status_and_domains, CAMPAIGNS),
            "dawdle with campaign": Kind(0.3, self._status_and_domains, CAMPAIGNS, dawdles=True),
            "create campaign": Kind(1.5, self._create_campaign, CAMPAIGNS),
            "delete campaign": Kind(0.5, self._delete_campaign, CAMPAIGNS, single=True),
        }

    async def run(self, stopped: asyncio.Event) -> None:
        """Transactions until told to stop."""
        names = list(self._kinds)
        weights = [kind.weight for kind in self._kinds.values()]
        truncates_at = time.monotonic() + self._draw_truncate_pause()
        while not stopped.is_set():
            if time.monotonic() > truncates_at:
                await self._attempt("truncate", Kind(0, self._truncate, TRUNCATING, single=True))
                truncates_at = time.monotonic() + self._draw_truncate_pause()
            (name,) = self._random.choices(names, weights)
            await self._attempt(name, self._kinds[name])
            if self._orders.pause_ms > 0:
                await asyncio.sleep(self._random.expovariate(1000 / self._orders.pause_ms))

    async def _attempt(self, name: str, kind: Kind) -> None:
        # As an application that is being rolled out: the release that it wants comes up once its columns are there.
        if (
            kind.group == CAMPAIGNS
            and self._application is not self._wanted
            and await self._connection.fetchval(sql.KNOWS_COLUMN, self._wanted.known_by)
        ):
            self._application = self._wanted
        pending: Pending = {}
        self._after_commit.clear()
        sqlstate = ""
        began = time.monotonic()
        try:
            if kind.single:
                await kind.work(pending)
            else:
                async with self._connection.transaction(isolation=kind.isolation):
                    await kind.work(pending)
                    if kind.dawdles:
                        await asyncio.sleep(self._orders.hold_ms / 1000 * self._random.uniform(0.5, 1.5))
            self.rows.apply(pending)
            for step in self._after_commit:
                step()
        except asyncpg.PostgresError as error:
            sqlstate = error.sqlstate or "?"
            words = " ".join(
                filter(None, (str(error), getattr(error, "detail", None), getattr(error, "context", None)))
            )
            self.error_texts.setdefault(f"{sqlstate} {name}", words[:1000])
            if sqlstate == UNDEFINED_COLUMN:
                self._application = sql.Legacy if self._application is sql.Phases else sql.Phases
        seconds = time.monotonic() - began
        self.attempts.append(Attempt(began, seconds, name, kind.group, kind.dawdles, sqlstate))

    # Draws.

    def _draw_truncate_pause(self) -> float:
        if not self._orders.truncate_every:
            return math.inf
        return self._random.expovariate(1 / (self._orders.truncate_every * self._orders.writers))

    def _campaign(self) -> UUID:
        """A campaign, some far more often than others."""
        if self._own_campaigns and self._random.random() < 0.05:
            return self._random.choice(self._own_campaigns)
        return self._campaigns[int(len(self._campaigns) * self._random.random() ** 4)][0]

    def _row(self, campaign: UUID) -> OwnRow:
        self._next += 1
        return self._revised(OwnRow(f"load-{self._orders.index}-{self._next}.test", campaign, None, None, None))

    def _revised(self, row: OwnRow) -> OwnRow:
        score = self._random.choice((None, 0, self._random.randint(1, 100)))
        return OwnRow(
            row.name, row.campaign_id, self._random.choice(CHECK_VALUES), self._random.choice(CHECK_VALUES), score
        )

    def _columns(self, rows: list[OwnRow]) -> list[list[object]]:
        """The rows as arrays, one per column."""
        return [
            [row.campaign_id for row in rows],
            [row.name for row in rows],
            [FIRST_OFFSET + int(row.name.split("-")[2].split(".")[0]) for row in rows],
            [row.dns_status for row in rows],
            [row.http_status for row in rows],
            [row.lead_score for row in rows],
        ]

    # Domains.

    async def _insert(self, pending: Pending) -> None:
        row = self._row(self._campaign())
        await self._connection.execute(sql.INSERT_ONE, *(column[0] for column in self._columns([row])))
        pending[row.name] = row

    async def _insert_many(self, pending: Pending) -> None:
        rows = [self._row(self._campaign()) for _ in range(self._random.randint(1, 3))]
        rows = [row for first in rows for row in (first, *(self._row(first.campaign_id) for _ in range(30)))]
        await self._connection.execute(sql.INSERT_MANY, *self._columns(rows))
        pending.update({row.name: row for row in rows})

    async def _copy(self, pending: Pending) -> None:
        campaign = self._campaign()
        rows = [self._row(campaign) for _ in range(self._random.randint(50, 250))]
        await self._connection.copy_records_to_table(
            "generated_domains",
            records=list(zip(*self._columns(rows), strict=True)),
            columns=[name.strip() for name in sql.COLUMNS.split(",")],
        )
        pending.update({row.name: row for row in rows})

    def _drawn(self, pending: Pending, most: int) -> list[OwnRow]:
        return self.rows.draw(self._random, self._random.randint(1, most), pending)

    async def _update(self, pending: Pending) -> None:
        if rows := self._drawn(pending, 40):
            values = self._revised(rows[0])[2:]
            await self._connection.execute(sql.UPDATE_OWN, *self._columns(rows)[:2], *values)
            pending.update({row.name: OwnRow(row.name, row.campaign_id, *values) for row in rows})

    async def _update_sample(self, pending: Pending) -> None:
        campaign = self._campaign()
        first = self._orders.index + self._orders.writers * self._random.randrange(SAMPLE_OFFSETS)
        offsets = [first + self._orders.writers * step for step in range(self._random.choice((1, 1, 20)))]
        await self._connection.execute(sql.UPDATE_SAMPLE, campaign, offsets, *self._revised(self._row(campaign))[2:])

    async def _move(self, pending: Pending) -> None:
        if rows := self._drawn(pending, 20):
            target = self._campaign()
            await self._connection.execute(sql.MOVE_OWN, *self._columns(rows)[:2], target)
            pending.update({row.name: row._replace(campaign_id=target) for row in rows})

    async def _upsert(self, pending: Pending) -> None:
        rows = [self._revised(row) for row in self._drawn(pending, 10)] + [
            self._row(self._campaign()) for _ in range(5)
        ]
        self._random.shuffle(rows)
        await self._connection.execute(sql.UPSERT, *self._columns(rows))
        pending.update({row.name: row for row in rows})

    async def _delete(self, pending: Pending) -> None:
        if rows := self._drawn(pending, 60):
            await self._connection.execute(sql.DELETE_OWN, *self._columns(rows)[:2])
            pending.update({row.name: None for row in rows})

    async def _several(self, pending: Pending) -> None:
        works = (
            self._insert,
            self._insert_many,
            self._update,
            self._update_sample,
            self._move,
            self._upsert,
            self._delete,
        )
        for work in self._random.choices(works, k=self._random.randint(2, 5)):
            await work(pending)

    async def _savepoint(self, pending: Pending) -> None:
        await self._several(pending)
        undone = dict(pending)
        savepoint = self._connection.transaction()
        await savepoint.start()
        await self._several(undone)
        await savepoint.rollback()
        await self._insert(pending)

    async def _truncate(self, pending: Pending) -> None:
        await self._connection.execute(sql.TRUNCATE)
        self._after_commit.append(self.rows.clear)

    # Campaigns.

    def _stage(self) -> str:
        return self._random.choice(self._application.stages)

    def _status(self) -> str:
        return self._random.choice(self._application.statuses)

    async def _set_status(self, pending: Pending) -> None:
        campaign, draw = self._campaign(), self._random.random()
        if draw < 0.5:
            await self._connection.execute(self._application.set_status, campaign, self._status())
        elif draw < 0.8:
            await self._connection.execute(self._application.set_stage, campaign, self._stage())
        else:
            await self._connection.execute(self._application.set_both, campaign, self._stage(), self._status())

    async def _progress(self, pending: Pending) -> None:
        await self._connection.execute(sql.UPDATE_PROGRESS, self._campaign(), float(self._random.randint(0, 100)))

    async def _status_and_domains(self, pending: Pending) -> None:
        await self._insert_many(pending)
        await self._set_status(pending)
        await self._update(pending)

    async def _create_campaign(self, pending: Pending) -> None:
        statement, values = self._application.insert_campaign, (self._stage(), self._status())
        user = self._random.choice(self._users)
        campaign: UUID = await self._connection.fetchval(statement, f"load {self._orders.index}", user, *values)
        rows = [self._row(campaign) for _ in range(20)]
        await self._connection.execute(sql.INSERT_MANY, *self._columns(rows))
        pending.update({row.name: row for row in rows})
        self._after_commit.append(lambda: self._own_campaigns.append(campaign))

    async def _delete_campaign(self, pending: Pending) -> None:
        if self._own_campaigns:
            campaign = self._random.choice(self._own_campaigns)
            await self._connection.execute(sql.DELETE_CAMPAIGN, campaign)
            self._after_commit.append(lambda: self._own_campaigns.remove(campaign))
            pending.update({row.name: None for row in self.rows.of_campaign(campaign)})

    async def _read(self, pending: Pending) -> None:
        await self._connection.fetch(self._application.read, self._random.choice(self._users))

    async def _read_twice(self, pending: Pending) -> None:
        await self._insert(pending)
        await self._connection.fetch(sql.READ_CAMPAIGN, self._campaign())
        await self._connection.fetch(self._application.read, self._random.choice(self._users))
