"""The parameters of each flow: the form in the Prefect UI, the flags of the command line and the tests come from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Phase = Literal["setup", "generation", "dns_validation", "http_keyword_validation", "analysis"]
PhaseStatus = Literal["not_started", "in_progress", "paused", "completed", "failed"]

PHASES: tuple[Phase, ...] = ("setup", "generation", "dns_validation", "http_keyword_validation", "analysis")
PHASE_STATUSES: tuple[PhaseStatus, ...] = ("not_started", "in_progress", "paused", "completed", "failed")

# What an operator decides each time; the rest follows in the order of the models.
ASKED_FIRST = (
    "mode", "confirm", "stop_after", "require_approval", "approve", "abandon", "on_failed_gate", "restore_check",
)  # fmt: skip


def _in_order(schema: dict[str, Any]) -> None:
    """Number the fields: a form that comes from a JSON column has lost their order, and goes by their position."""
    fields: dict[str, Any] = schema.get("properties", {})
    first = [name for name in ASKED_FIRST if name in fields]
    for position, name in enumerate([*first, *(name for name in fields if name not in ASKED_FIRST)]):
        fields[name]["position"] = position


CONFIG = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_in_order)
ABANDON: bool = Field(
    default=False,
    title="Abandon a waiting run",
    description="Give up a run that awaits approval, and go on without it.",
)


class Parameters(BaseModel):
    """What every flow takes."""

    model_config = CONFIG

    schema_name: str = Field(
        default="public", min_length=1, title="Schema", description="Schema that holds campaigns and generated_domains."
    )
    report_directory: Path | None = Field(
        default=None,
        title="Report directory",
        description="Where reports go. Default: reports/<run> below the working directory.",
    )


class Contacts(BaseModel):
    """Whom to call when something fails."""

    model_config = CONFIG

    database: str = Field(default="", description="Database administrator: performance and schema issues.")
    development: str = Field(default="", description="Development team: application compatibility.")
    migration: str = Field(default="", description="Migration team: the migration itself and rollback decisions.")


class LockLimits(BaseModel):
    """How long our locks may be waited for."""

    model_config = CONFIG

    lock_timeout_ms: int = Field(
        default=100,
        ge=10,
        le=60_000,
        description="How long one attempt waits for a lock; who queues behind it waits as long.",
    )
    lock_wait_limit_seconds: float = Field(
        default=300.0, gt=0, description="How long to go on attempting one statement before giving up."
    )
    statement_timeout_seconds: float = Field(
        default=3600.0, gt=0, description="The longest that one statement may run."
    )


class Pace(BaseModel):
    """Whom the batches of the transform wait for."""

    model_config = CONFIG

    max_replica_lag_seconds: float = Field(
        default=30.0, gt=0, description="Pause while a replica is further behind than this."
    )
    max_transaction_age_seconds: float = Field(
        default=900.0, gt=0, description="Pause while a transaction older than this holds back vacuum."
    )
    pause_limit_seconds: float = Field(
        default=3600.0, gt=0, description="Give up after having paused so long at a time."
    )


class BenchmarkParameters(Parameters):
    """What every flow takes that measures."""

    benchmark_rounds: int = Field(
        default=25, ge=5, le=500, title="Rounds", description="Measured rounds of each pattern."
    )
    benchmark_seed: int = Field(
        default=1, title="Seed", description="Seed for the drawn users and campaigns and for the order."
    )
    target_improvement: float = Field(
        default=40.0,
        ge=0,
        lt=100,
        title="Target",
        description="Improvement in percent that the headline is judged against.",
    )
    benchmark_writes: bool = Field(
        default=False,
        title="Benchmark writes on a live database",
        description="Time the pattern that writes on the database itself instead of a copy (it is always rolled back, but locks"
        " its rows while it runs).",
    )
    clone_limit_gb: float = Field(
        default=10.0,
        ge=0,
        title="Largest copy",
        description="Largest database (GB) that is copied for the pattern that writes; of a larger one it is left out.",
    )
    paired: bool = Field(
        default=False,
        title="Paired",
        description="Keep the state before as a copy and time both states in turn. New sessions wait while it is copied"
        " by TEMPLATE, which needs that nobody is connected; otherwise a backup is restored.",
    )


class QuarterlyParameters(BenchmarkParameters):
    """Parameters of flows.benchmark."""

    before_backup: Path | None = Field(
        default=None,
        title="Backup from before",
        description="With paired: a backup directory of flows.migrate, restored as the state before. Without one two copies"
        " of the database are timed against each other, which must show no difference.",
    )
    fail_on_regression: bool = Field(
        default=False,
        title="Fail on a regression",
        description="A pattern that has become slower since the baseline or the last run fails the run (exit code 9).",
    )


class MigrateParameters(BenchmarkParameters):
    """Parameters of flows.migrate, safe as they stand: `plan` changes nothing."""

    mode: Literal["plan", "apply", "status"] = Field(
        default="plan",
        title="Mode",
        description="plan shows what would be done, apply does it, status tells where the database stands.",
    )
    on_failed_gate: Literal["stop", "rollback"] = Field(
        default="stop", title="On a failed gate", description="Stop and leave the named state, or take everything back."
    )
    stop_after: Literal["transform"] | None = Field(
        default=None, title="Stop after", description="Rest after this step with both models live; a later run goes on."
    )
    backup_directory: Path | None = Field(
        default=None,
        title="Backup directory",
        description="Where the backup goes. Default: backup below the report directory.",
    )
    backup_format: Literal["directory", "plain"] = Field(
        default="directory",
        title="Backup format",
        description="directory (parallel) or plain (backup_pre_migration.sql).",
    )
    restore_check: bool = Field(
        default=False, title="Restore check", description="Restore the backup into a scratch database and compare it."
    )
    map_campaign_type: dict[str, Phase] = Field(
        default_factory=dict,
        title="Unknown campaign types",
        description="Phase for each campaign_type that is not known, such as bulk=generation.",
    )
    map_status: dict[str, PhaseStatus] = Field(
        default_factory=dict,
        title="Unknown statuses",
        description="Phase status for each status that is not known, such as stalled=paused.",
    )
    map_null_campaign_type: Phase | None = Field(
        default=None, title="Missing campaign type", description="Phase for campaigns whose campaign_type is NULL."
    )
    map_null_status: PhaseStatus | None = Field(
        default=None, title="Missing status", description="Phase status for campaigns whose status is NULL."
    )
    prefer: Literal["phases", "legacy"] | None = Field(
        default=None,
        title="Contradictions",
        description="Which side wins where filled phases contradict the legacy values.",
    )
    domain_status: Literal["newest", "domain", "result"] = Field(
        default="newest",
        title="Domain status",
        description="Which side wins where dns_validation_results or http_keyword_results contradict a domain's own status.",
    )
    expected_version: int | None = Field(
        default=None, title="Expected version", description="golang-migrate version before 000035, if not 34."
    )
    create_version_table: bool = Field(
        default=False,
        title="Create the version table",
        description="Make golang-migrate's schema_migrations where it is absent, so that its CLI can take over.",
    )
    require_target: bool = Field(
        default=False, title="Require the target", description="A missed improvement target fails the run."
    )
    keep_duplicates: bool = Field(
        default=False,
        title="Keep duplicates",
        description="Keep foreign keys and indexes of the campaign tables that say again what another one says.",
    )
    batch_ms: int = Field(
        default=100,
        ge=5,
        le=10_000,
        title="Batch time",
        description="How long one batch of the transform may hold its row locks (ms).",
    )
    accept_legacy_statements: bool = Field(
        default=False,
        title="Accept legacy statements",
        description="Drop the legacy columns though statements that name them were run lately.",
    )
    legacy_statement_hours: float = Field(
        default=24.0,
        gt=0,
        title="Legacy statement hours",
        description="How far back statements that name legacy columns hold up the cut-over (needs pg_stat_statements).",
    )
    require_approval: bool = Field(
        default=False,
        title="Require approval",
        description="Wait before the legacy columns go, until somebody approves (this run's page, or --approve).",
    )
    approval_hours: float = Field(
        default=72.0, gt=0, le=2160, title="Approval hours", description="How long to wait for an approval."
    )
    approve: str = Field(
        default="",
        title="Approve",
        description="Go on with the run that awaits approval: the name of the database, typed out.",
    )
    abandon: bool = ABANDON
    pace: Pace = Field(default_factory=Pace, title="Pace", description="Whom the batches of the transform wait for.")
    locks: LockLimits = Field(default_factory=LockLimits, title="Locks", description="Limits of our locks.")
    contacts: Contacts = Field(default_factory=Contacts, title="Contacts", description="Whom a failure names.")


class RollbackParameters(Parameters):
    """Parameters of flows.rollback."""

    mode: Literal["plan", "apply"] = Field(
        default="plan", title="Mode", description="plan counts what would be kept and changed, apply does it."
    )
    confirm: str = Field(default="", title="Confirm", description="For apply: the name of the database, typed out.")
    restore_data: bool = Field(
        default=False,
        title="Restore the backed-up data",
        description="Also put back the campaigns as they were before the migration; later changes are saved aside and dropped.",
    )
    drop_new_campaigns: bool = Field(
        default=False, title="Drop new campaigns", description="With restore data: remove campaigns created since, too."
    )
    exact_column_order: bool = Field(
        default=False,
        title="Exact column order",
        description="At the end, offline: build campaigns again, so that the legacy columns stand where they stood before.",
    )
    from_backup: Path | None = Field(
        default=None,
        title="From backup",
        description="Instead: restore the backup in this directory into a new database beside the old one, and compare it.",
    )
    forget: bool = Field(
        default=False,
        title="Forget",
        description="Instead: drop the backup tables of the migration, when the team is sure. The pg_dump stays.",
    )
    abandon: bool = ABANDON
    locks: LockLimits = Field(default_factory=LockLimits, title="Locks", description="Limits of our locks.")
    contacts: Contacts = Field(default_factory=Contacts, title="Contacts", description="Whom a failure names.")

    @property
    def purpose(self) -> str:
        """What such a run is for, in a word or two."""
        if self.from_backup is not None:
            return "restore beside"
        return "forget backups" if self.forget else self.mode


SampleProfile = Literal["plain", "production"]
