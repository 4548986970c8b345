"""What the steps hand on: plain values, ready for a report, an artifact or a test."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """A value that does not change."""

    model_config = ConfigDict(frozen=True)


class Outcome(StrEnum):
    """How a run ended."""

    PLANNED = "planned"
    SUCCEEDED = "succeeded"
    ALREADY_MIGRATED = "already_migrated"
    REFUSED = "refused"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    AWAITING_APPROVAL = "awaiting_approval"


class State(StrEnum):
    """Where a database stands, read from its catalog."""

    NO_CAMPAIGNS = "no_campaigns"  # not a campaign database
    LEGACY = "legacy"  # legacy columns, nothing of ours at work
    DUAL = "dual"  # both models live and kept in step (expanded, perhaps filled)
    CONTRACTED = "contracted"  # legacy columns gone, 000036 not complete
    MIGRATED = "migrated"  # 000035 and 000036 are there
    RETURNING = (
        "returning"  # a way back has begun and not come to its end: both models live, or only our tables are left
    )


Severity = Literal["blocker", "warning"]
CheckStatus = Literal["PASS", "WARN", "FAIL", "SKIPPED"]
Verdict = Literal["met", "not_met", "inconclusive"]


class Finding(Model):
    """One thing that preflight noticed."""

    code: str  # stable, kebab-case, e.g. unknown-status
    severity: Severity
    message: str  # names the value
    remedy: str  # says what to do
    keys: list[str] = Field(default_factory=list)  # up to 20 of the rows or objects concerned
    count: int = 1


class CensusRow(Model):
    """How many campaigns bear a pair of legacy values, and what it maps to."""

    campaign_type: str | None
    status: str | None
    current_phase: str | None
    phase_status: str | None
    campaigns: int


class PlannedStatement(Model):
    """One statement that apply would run."""

    position: int
    step: str
    statement: str  # the SQL itself; a file of ours by its path below the project; a program by its name
    lock: str  # PostgreSQL's name of the table lock, or none
    relation: str
    blocks: str  # who waits while it is held: nobody, writers, everybody
    expected_seconds: float
    expected_bytes: int  # what it adds; below zero what it sets free
    note: str = ""  # why, how often, inside of what
    ledger: str = ""  # how the line of migration_ledger begins that says it is done


class Decision(Model):
    """Something that the operator has to decide before apply."""

    name: str
    question: str
    standing: str  # what happens as the parameters stand
    option: str  # the parameter that says otherwise


class WorkLeft(Model):
    """What the application team has left to do before, or soon after, the legacy columns go."""

    kind: Literal["function", "statement"]
    where: str  # the function with its line, or the role
    what: str
    why: str


class Plan(Model):
    """What apply would do to a database, in order, and what it leaves to people."""

    statements: list[PlannedStatement]
    decisions: list[Decision] = Field(default_factory=list)
    work_left: list[WorkLeft] = Field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(statement.expected_seconds for statement in self.statements)


class PreflightReport(Model):
    """What was found before anything was changed."""

    state: State
    server_version: str
    server_version_num: int
    schema_name: str
    users_table: str | None
    campaigns: int
    domains: int
    migration_version: int | None
    migration_dirty: bool
    findings: list[Finding]
    census: list[CensusRow]

    @property
    def blockers(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "blocker"]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "warning"]


class BackupManifest(Model):
    """What a backup consists of, enough to notice any change to it."""

    directory: str
    format: Literal["directory", "plain"]
    files: dict[str, str]  # sha256 by path relative to directory
    bytes: int
    seconds: float
    server_version: str
    snapshot: str
    row_counts: dict[str, int]  # by schema-qualified table
    checksums: dict[str, str] = Field(default_factory=dict)
    restore_checked: bool = False
    pg_dump_version: str


class LockHold(Model):
    """The longest hold of a lock that keeps writers out, for one statement."""

    statement: str
    mode: str
    held_ms: float
    attempts: int
    ended_at: float | None = None  # seconds since 1970, by the clock of this machine


class DomainStatusResult(Model):
    """The domains' own status beside a table of results: what this run found, and what was changed so far."""

    table_name: str
    column_name: str
    agreeing: int  # domains whose status is that of their newest result
    missing: int  # domains without a status that have a result
    contradicting: int  # domains whose status is another one
    waiting: int  # pending domains whose result is older: they are to be checked again
    filled: int  # statuses that were missing, taken from the result
    settled: int  # contradictions that were settled for the result


class TransformResult(Model):
    """What the data transform did."""

    campaigns: int
    seconds: float
    scan_seconds: float
    batches: int
    longest_batch_ms: float
    locks: list[LockHold] = Field(default_factory=list)
    domain_statuses: list[DomainStatusResult] = Field(default_factory=list)


class CheckResult(Model):
    """One validation check or integration test."""

    suite: str = ""
    name: str
    status: CheckStatus
    total_records: int = 0
    valid_records: int = 0
    invalid_records: int = 0
    success_rate: float | None = None
    execution_time_ms: float | None = None
    details: str = ""
    query: str = ""  # finds the bad rows again


class AnswerCheck(CheckResult):
    """One pattern asked in both forms, and how long each took, once."""

    legacy_ms: float | None = None
    phases_ms: float | None = None


class StepRecord(Model):
    """One step of a run."""

    name: str
    state: Literal["completed", "failed", "skipped", "running"]
    seconds: float
    attempts: int = 1
    detail: str = ""
    began_at: float | None = None  # the first attempt, seconds since 1970


class SuccessCriterion(Model):
    """One of the twelve criteria of a finished migration."""

    group: str
    text: str
    status: CheckStatus
    evidence: str
