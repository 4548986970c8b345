"""What a benchmark measures and what a comparison says, as plain values."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from tasks.core.models import Model, Verdict

Architecture = Literal["dual", "phases_based"]
# By the clock and by the counts of work; "unsure" is a difference by the clock that no count and no plan explains.
Change = Literal["faster", "slower", "same", "unsure"]
PlanChange = Literal["same", "changed", "critical"]
CloneMethod = Literal["template", "backup", "dump"]


class Work(Model):
    """What one serial execution does, triggers and what they defer included, in counts that repeat exactly."""

    blocks: int  # shared blocks of the schema's tables and indexes, from the buffers or from disk
    blocks_read: int = 0  # those that were not in the buffers
    temp_blocks: int = 0  # written to and read from temporary files
    rows_visited: int = 0  # rows read by sequential scans and entries read from indexes
    wal_records: int = 0


class PatternTiming(Model):
    """One benchmark pattern on one architecture."""

    name: str
    category: str
    times_ms: list[float]  # one per measured round, warm-up not included
    blocks: int | None = None  # shared blocks hit + read, serial execution, second run
    work: Work | None = None
    rows: int = 0
    answer: str | None = None  # digest of the rows returned, under the mapping
    plan: str | None = None  # text EXPLAIN
    skipped: str | None = None  # the reason, where it was not timed
    note: str = ""  # the question, for people
    writes: bool = False


class BenchmarkInputs(Model):
    """What the patterns ask about, drawn from the data with a seed: the same before and after."""

    seed: int
    reference_time: datetime | None  # counts as now; None in an empty database
    user_ids: list[UUID]  # up to ten; the first is the user of the single dashboard
    campaign_ids: list[UUID]  # up to five running campaigns in DNS validation
    campaign_id: UUID | None  # one large campaign
    bulk_domains: int  # more domains than this make a campaign a bulk one
    http_valid_domains: int  # the same for domains that passed the HTTP check


class Clone(Model):
    """A copy of a database that lives as long as a run, and how it was made."""

    database: str
    method: CloneMethod
    why: str = ""  # why not by TEMPLATE, where it is not
    weakness: str = ""  # what makes it another state than the one that is meant
    seconds: float
    bytes: int

    @property
    def sentence(self) -> str:
        how = {
            "template": "a copy by CREATE DATABASE ... TEMPLATE, with the layout and bloat of the original",
            "backup": "a backup, restored: without bloat, which flatters it",
            "dump": "a fresh dump, restored: without bloat, which flatters it",
        }[self.method]
        reason = f" (not by TEMPLATE: {self.why})" if self.why else ""
        weak = f"; {self.weakness}" if self.weakness else ""
        return f"{how}{reason}; {self.bytes / 1e6:,.0f} MB in {self.seconds:.1f} s{weak}"


class IndexSize(Model):
    """An index of the two tables."""

    name: str
    table: str
    bytes: int


class BenchmarkRun(Model):
    """All patterns on one architecture."""

    run_id: str
    architecture_type: Architecture
    measured_at: str
    server_version: str
    settings: dict[str, str] = Field(default_factory=dict)
    campaigns: int
    domains: int
    rounds: int
    patterns: list[PatternTiming]
    database_name: str = ""
    inputs: BenchmarkInputs | None = None
    statistics: list[dict[str, Any]] = Field(
        default_factory=list
    )  # what database_statistics returned, one row per table
    environment: dict[str, str] = Field(default_factory=dict)  # what may disturb a measurement: load, processors
    indexes: list[IndexSize] = Field(default_factory=list)
    paired: bool = False  # timed in turn with the run that it is compared with, round by round
    clone: Clone | None = None  # measured on this copy instead of the database itself
    writes_clone: Clone | None = None  # the patterns that write were timed on this copy


class ComparedPattern(Model):
    """One pattern before and after."""

    name: str
    category: str
    before_ms: float | None
    after_ms: float | None
    improvement_percent: float | None
    low: float | None
    high: float | None
    status: str  # met, not_met, inconclusive, skipped, recorded
    before_blocks: int | None = None
    after_blocks: int | None = None
    note: str = ""  # why it was skipped, or what weakens it
    change: Change | None = None
    before_work: Work | None = None
    after_work: Work | None = None
    plan_change: PlanChange = "same"
    plan_diff: str = ""  # node by node; "- " only before, "+ " only after


class Headline(Model):
    """The one figure: geometric mean of the patterns' time ratios, as an improvement in percent, with its interval."""

    improvement_percent: float
    low: float
    high: float
    verdict: Verdict
    target_percent: float
    total_time_improvement_percent: float
    worst_pattern: str


class Comparison(Model):
    """Before against after."""

    headline: Headline
    patterns: list[ComparedPattern]
    notes: list[str] = Field(default_factory=list)  # what a reader must know before trusting the figures
    paired: bool = False

    @property
    def slower(self) -> list[ComparedPattern]:
        """The patterns that are slower by the clock and by what they do."""
        return [one for one in self.patterns if one.change == "slower"]


class TrendPoint(Model):
    """One run of the past, or this one, beside the baseline."""

    run_id: str
    measured_at: str
    domains: int
    comparable: bool
    why_not: str = ""
    ratio: float | None = None  # geometric mean over the patterns of time / the baseline's time
    blocks_ratio: float | None = None  # the same of the blocks
    medians_ms: dict[str, float] = Field(default_factory=dict)


class Regression(Model):
    """A pattern that has become slower since an earlier run, with what explains it."""

    name: str
    since: str  # when the run that it is slower than was measured
    time_ratio: float
    low_ratio: float  # of its interval
    work: str  # which count of work grew, in words
    plan_change: PlanChange
    plan_diff: str = ""

    @property
    def sentence(self) -> str:
        plan = {
            "same": "the plan is the same",
            "changed": "the plan has changed",
            "critical": "an index scan has become a sequential scan",
        }
        times = f"{self.name} takes {self.time_ratio:.2f} times as long as on {self.since[:10]}"
        return f"{times}: {self.work}, {plan[self.plan_change]}"


class Trend(Model):
    """The runs of one architecture that the database remembers, oldest first, this one last."""

    architecture_type: Architecture
    points: list[TrendPoint]
    regressions: list[Regression] = Field(default_factory=list)
    suspects: list[str] = Field(default_factory=list)  # slower by the clock alone, in words
    compared_with: list[str] = Field(default_factory=list)  # when those runs were measured
