"""The parameters of flows.demo, which brings a database of its own."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from tasks.core.settings import CONFIG, SampleProfile


class DemoParameters(BaseModel):
    """Parameters of flows.demo."""

    model_config = CONFIG

    campaigns: int = Field(default=2000, ge=1, description="Campaigns of the sample database.")
    domains: int = Field(default=200_000, ge=0, description="Domains of the sample database.")
    seed: int = Field(default=7, description="Seed of the sample database and of the benchmark.")
    report_directory: Path | None = Field(default=None, description="Where reports go. Default: reports/<run>.")
    keep: bool = Field(default=False, description="Leave the server running at the end and print its URL.")
    postgres_bin: Path | None = Field(
        default=None, description="bin directory of another PostgreSQL, instead of the embedded one."
    )
    target_improvement: float = Field(
        default=40.0, ge=0, lt=100, description="Improvement in percent to judge against."
    )
    profile: SampleProfile = Field(
        default="production",
        description="What the sample database has around its tables: as much as a production copy (readers of the legacy columns,"
        " names that collide with ours, duplicates, over 480 relations), or nothing (plain).",
    )
