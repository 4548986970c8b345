"""What passes between the processes of a run, as JSON."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, SecretStr

from tasks.core.database import Database

# What a transaction touches, and so what may go wrong with it.
DOMAINS, CAMPAIGNS, SNAPSHOT, TRUNCATING = "domains", "campaigns", "repeatable read", "truncate"


class Reach(BaseModel):
    """A database and its password, for a child process's standard input: a command line would show it."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    database: str
    user: str
    password: str | None

    @classmethod
    def of(cls, database: Database) -> Reach:
        """What it takes to reach this database."""
        secret = database.password.get_secret_value() if database.password else None
        return cls(
            host=database.host, port=database.port, database=database.database, user=database.user, password=secret
        )

    def open(self) -> Database:
        """The database again."""
        secret = SecretStr(self.password) if self.password is not None else None
        return Database(
            host=self.host, port=self.port, database=self.database, user=self.user, password=secret, tls_mode="disable"
        )


class WriterOrders(BaseModel):
    """What one writer is told.

    Attributes:
        index: 0 to writers - 1; even ones know the legacy model, odd ones phases, once its columns are there.
        pause_ms: mean pause between two transactions, exponentially distributed.
        hold_ms: how long the transactions that dawdle stay open.
        truncate_every: mean seconds between two TRUNCATEs of generated_domains; 0 for none.
        output: where the result goes.
    """

    model_config = ConfigDict(frozen=True)

    reach: Reach
    index: int
    writers: int
    seed: int
    pause_ms: float
    hold_ms: float
    truncate_every: float
    output: str


class Attempt(NamedTuple):
    """One transaction. Times are of the monotonic clock, which the processes of a machine share; in seconds."""

    began: float
    seconds: float
    kind: str
    group: str
    dawdled: bool
    sqlstate: str


class OwnRow(NamedTuple):
    """What a writer knows of a row that it wrote."""

    name: str
    campaign_id: UUID
    dns_status: str | None
    http_status: str | None
    lead_score: int | None


class WriterResult(BaseModel):
    """What one writer did, and which rows of its own are there if nothing was lost."""

    attempts: list[Attempt]
    rows: list[OwnRow]
    error_texts: dict[str, str]


class MonitorOrders(BaseModel):
    """What the monitor is told."""

    model_config = ConfigDict(frozen=True)

    reach: Reach
    seed: int
    output: str


class Wait(BaseModel):
    """One wait of a writer for a lock that one of our sessions held, or stood before it in the queue for.

    Attributes:
        seconds: from the first to the last look that saw it, and one interval between looks.
    """

    began: float
    seconds: float
    writer: str
    mode: str
    relation: str
    query: str
    blocker: str


class Check(BaseModel):
    """One look, in one snapshot, at what must agree at every commit. Each figure is a count of campaigns.

    Attributes:
        contradicting: whose filled phases contradict the legacy values.
        progress_off: filled, whose progress is not what the formula gives.
        legacy_off: filled, whose kept legacy values are not those of the row.
        miscounted: of `counted` drawn campaigns, whose metrics differ from a count.
    """

    at: float
    dual: bool
    filled: int
    contradicting: int
    progress_off: int
    legacy_off: int
    counted: int
    miscounted: int
    examples: list[str]


class MonitorResult(BaseModel):
    """What the monitor saw.

    Attributes:
        longest_gap: the longest time between two looks, in seconds: a shorter wait may have gone unseen.
    """

    waits: list[Wait]
    checks: list[Check]
    looks: int
    longest_gap: float
    typical_gap: float
