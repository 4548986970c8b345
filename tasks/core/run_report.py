"""All that a run has to say, as one value."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.core.benchmark_models import BenchmarkRun, Comparison, Trend
from tasks.core.models import (
    BackupManifest,
    CheckResult,
    Decision,
    LockHold,
    Model,
    Outcome,
    PlannedStatement,
    PreflightReport,
    StepRecord,
    SuccessCriterion,
    TransformResult,
    WorkLeft,
)


class RunReport(Model):
    """All that a run has to say; report.json is this model's `public()` form."""

    run_id: str
    outcome: Outcome
    message: str
    started_at: str
    finished_at: str
    database_name: str
    schema_name: str
    address: str
    tool_version: str
    commit: str | None = None
    sql_files: dict[str, str] = Field(default_factory=dict)
    contacts: dict[str, str] = Field(default_factory=dict)
    steps: list[StepRecord] = Field(default_factory=list)
    preflight: PreflightReport | None = None
    plan: list[PlannedStatement] = Field(default_factory=list)
    decisions: list[Decision] = Field(default_factory=list)
    work_left: list[WorkLeft] = Field(default_factory=list)
    backup: BackupManifest | None = None
    transform: TransformResult | None = None
    locks: list[LockHold] = Field(default_factory=list)
    before: BenchmarkRun | None = None
    after: BenchmarkRun | None = None
    comparison: Comparison | None = None
    trend: Trend | None = None
    validation: list[CheckResult] = Field(default_factory=list)
    integration: list[CheckResult] = Field(default_factory=list)
    criteria: list[SuccessCriterion] = Field(default_factory=list)
    peak_rss_mb: float = 0.0
    extra: dict[str, Any] = Field(default_factory=dict)
