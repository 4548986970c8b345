"""The parameters of what is done on a schedule after the migration: validation and maintenance."""

from __future__ import annotations

from pydantic import BaseModel, Field

from tasks.core.settings import CONFIG, LockLimits, Parameters


class RepairParameters(Parameters):
    """What the flows take that recount the metrics."""

    repair_metrics: bool = Field(
        default=False,
        title="Repair metrics",
        description="Write the recount where a campaign's metrics differ from it.",
    )
    locks: LockLimits = Field(default_factory=LockLimits, title="Locks", description="Limits of our locks.")


class ValidateParameters(RepairParameters):
    """Parameters of flows.validate."""


class BloatLimits(BaseModel):
    """From when on an index counts as bloated: both must be reached."""

    model_config = CONFIG

    percent: float = Field(default=40.0, ge=0, le=100, description="Share of the index that is air, in percent.")
    megabytes: float = Field(default=10.0, ge=0, description="Air in the index, in MB.")


class MaintainParameters(RepairParameters):
    """Parameters of flows.maintain."""

    rebuild_invalid: bool = Field(
        default=False, title="Rebuild", description="Rebuild invalid indexes CONCURRENTLY instead of only naming them."
    )
    rebuild_bloated: bool = Field(
        default=False,
        title="Rebuild bloated",
        description="Rebuild indexes that are bloated over the limits CONCURRENTLY instead of only naming them.",
    )
    bloat: BloatLimits = Field(
        default_factory=BloatLimits, title="Bloat", description="From when on an index counts as bloated."
    )
