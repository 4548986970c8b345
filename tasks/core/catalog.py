"""What the campaign tables are made of, how legacy values map, and which names in the database are this migration's.

The mapping also stands in SQL, where the data is changed; a test keeps the two alike. Names are read from the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, TypeAlias

from tasks.core import sql_files
from tasks.core.settings import PHASE_STATUSES, PHASES, MigrateParameters, Phase, PhaseStatus

MARK = "phases migration: "  # how the comment of each of our tables and views begins
LEGACY_COLUMNS = ("campaign_type", "status", "launch_sequence")
CAMPAIGN_TYPES: Mapping[str, Phase] = {
    "domain_generation": "generation",
    "dns_validation": "dns_validation",
    "http_keyword_validation": "http_keyword_validation",
    "analysis": "analysis",
    "comprehensive": "generation",
    "automated": "generation",
}
# Campaigns of these types go through every phase, so no phase contradicts them.
TYPES_OF_ALL_PHASES = frozenset({"comprehensive", "automated"})
STATUSES: Mapping[str, PhaseStatus] = {
    "pending": "not_started",
    "queued": "not_started",
    "running": "in_progress",
    "pausing": "paused",
    "paused": "paused",
    "completed": "completed",
    "archived": "completed",
    "failed": "failed",
    "cancelled": "failed",
}
# What the sync of both models may have written for a phases value: the inverse mapping, or the nearest value that the
# installation allows.
TYPES_OF_PHASE: Mapping[str, tuple[str, ...]] = {
    "setup": ("domain_generation", "comprehensive", "automated"),
    "generation": ("domain_generation", "comprehensive", "automated"),
    "dns_validation": ("dns_validation", "domain_generation"),
    "http_keyword_validation": ("http_keyword_validation", "dns_validation", "domain_generation"),
    "analysis": ("analysis", "http_keyword_validation", "dns_validation", "domain_generation"),
}
STATUSES_OF_PHASE_STATUS: Mapping[str, tuple[str, ...]] = {
    "not_started": ("pending", "queued"),
    "in_progress": ("running",),
    "paused": ("paused", "pausing", "pending"),
    "completed": ("completed", "archived"),
    "failed": ("failed", "cancelled"),
}

# A column's kind: an exact type, or one of PostgreSQL's type categories where any of its types will do.
Kind: TypeAlias = Literal["uuid", "text", "text or enum", "number", "time", "boolean"]
CATEGORIES: Mapping[Kind, str] = {"text": "S", "text or enum": "SE", "number": "N", "time": "D", "boolean": "B"}
REQUIRED_COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "campaigns": {
        "id": "uuid",
        "name": "text",
        "campaign_type": "text or enum",
        "status": "text or enum",
        "user_id": "uuid",
        "progress_percentage": "number",
        "created_at": "time",
        "updated_at": "time",
        "started_at": "time",
        "completed_at": "time",
    },
    "generated_domains": {
        "id": "uuid",
        "domain_generation_campaign_id": "uuid",
        "domain_name": "text",
        "offset_index": "number",
        "generated_at": "time",
        "created_at": "time",
        "dns_status": "text or enum",
        "http_status": "text or enum",
        "lead_score": "number",
    },
}
OPTIONAL_COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "campaigns": {"launch_sequence": "boolean"},
    "generated_domains": {"last_validated_at": "time"},
}
PHASES_COLUMNS: Mapping[str, str] = {
    "current_phase": "text",
    "phase_status": "text",
    "progress": "numeric(5,2)",
    "domains": "bigint",
    "leads": "bigint",
    "dns_validated_domains": "bigint",
    "http_validated_domains": "bigint",
}
PHASE_VALUES: Mapping[str, tuple[str, ...]] = {"current_phase": PHASES, "phase_status": PHASE_STATUSES}

# The rules of the phases columns, as `plain_check` reduces them.
OUR_CHECKS: Mapping[str, str] = {
    "campaigns_current_phase_check": "current_phase=ANY" + ",".join(sorted(PHASES)),
    "campaigns_phase_status_check": "phase_status=ANY" + ",".join(sorted(PHASE_STATUSES)),
    "campaigns_progress_check": "progress>=0ANDprogress<=100",
    "campaigns_metrics_check": "domains>=0ANDleads>=0ANDdns_validated_domains>=0ANDhttp_validated_domains>=0",
    "campaigns_phases_filled": "AND".join(
        f"{name}ISNOTNULL"
        for name in (
            "current_phase", "phase_status", "progress",
            "domains", "leads", "dns_validated_domains", "http_validated_domains",
        )
    ),
}  # fmt: skip
SYNC_TRIGGER, KEEP_ROW_TRIGGER = "zzy_migration_sync_models", "zzz_campaigns_keep_row"

# Names that the files put together while running.
_COMPOSED_TABLES = (
    "campaigns_backup_000035",
    "campaigns_pre_migration_backup",
    "campaigns_pre_rollback_backup",
    "migration_domain_status_plan",
)
_COMPOSED_FUNCTIONS = ("campaigns_keep_row", "migration_keep_legacy_values", "migration_status_keep_row")
_RELATION = re.compile(r"CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) (?:%\d\$I\.)?(?P<name>\w+)")
_FUNCTION = re.compile(
    r"CREATE OR REPLACE FUNCTION (?P<name>\w+)\((?:(?!CREATE OR REPLACE).)*?AS (?P<tag>\$\w*\$)(?P<body>.*?)(?P=tag)",
    re.DOTALL,
)
_TRIGGER = re.compile(r"CREATE (?:CONSTRAINT )?TRIGGER (?P<name>\w+)")
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_CAST = re.compile(r"::\w+(?: varying)?(?:\([\d,]+\))?(?:\[\])?")


@lru_cache
def _texts() -> tuple[str, ...]:
    files = [*sorted(sql_files.MIGRATIONS.glob("*.up.sql")), *sorted(sql_files.SCRIPTS.glob("*.sql"))]
    return (*(sql_files.read(path) for path in files), sql_files.query("create_ledger"))


@lru_cache
def our_relations() -> frozenset[str]:
    """Names of the tables and views that a migration, its scripts and its ledger make."""
    found = {match["name"] for text in _texts() for match in _RELATION.finditer(text)}
    return frozenset(found.union(_COMPOSED_TABLES))


@lru_cache
def our_functions() -> Mapping[str, frozenset[str]]:
    """The bodies that the files give to each of our functions, stripped; none where a body depends on the database."""
    found: dict[str, set[str]] = {name: set() for name in _COMPOSED_FUNCTIONS}
    for text in _texts():
        for match in _FUNCTION.finditer(text):
            found.setdefault(match["name"], set()).add(match["body"].strip())
    return {name: frozenset(bodies) for name, bodies in found.items()}


@lru_cache
def our_triggers() -> frozenset[str]:
    """Names of the triggers that the files make."""
    return frozenset(match["name"] for text in _texts() for match in _TRIGGER.finditer(text))


def index_definitions_query() -> str:
    """The list of 000036 (name, table, definition, purpose) as a query, which needs no function to be made."""
    block = sql_files.blocks(sql_files.migration(36, "up"))["index_definitions"]
    return block.split("$definitions$")[1].strip().rstrip(";")


def phases_columns_query() -> str:
    """What becomes of each phases column (name, wanted, standard, type, verdict, problem, former), as a query."""
    block = sql_files.blocks(sql_files.script("migrate-campaign-data"))["phases_columns"]
    return block.split("$judge$")[1].strip()


def plain_check(definition: str) -> str:
    """A check constraint without what PostgreSQL adds when it prints one: casts, brackets, blanks, order of a list."""
    text = re.sub(r"^CHECK|NOT VALID$", "", _CAST.sub("", definition))
    text = re.sub(r"[()\s]", "", text)
    listed = re.fullmatch(r"(\w+)(?:=ANYARRAY\[,*\]|IN,*)", _LITERAL.sub("", text))
    if listed:
        return listed[1] + "=ANY" + ",".join(sorted(_LITERAL.findall(definition)))
    return text


def allowed_values(definition: str) -> frozenset[str]:
    """The values that a check constraint lists, as `column IN (...)` does; empty for a constraint of another form."""
    if re.search(r"= ANY \(|\bIN \(", definition) is None:
        return frozenset()
    return frozenset(literal.replace("''", "'") for literal in _LITERAL.findall(definition))


def map_campaign_type(value: str | None, parameters: MigrateParameters) -> Phase | None:
    """The phase of a campaign_type, by the fixed mapping and the parameters; None where neither knows it."""
    if value is None:
        return parameters.map_null_campaign_type
    return CAMPAIGN_TYPES.get(value) or parameters.map_campaign_type.get(value)


def map_status(value: str | None, parameters: MigrateParameters) -> PhaseStatus | None:
    """The phase status of a status, by the fixed mapping and the parameters; None where neither knows it."""
    if value is None:
        return parameters.map_null_status
    return STATUSES.get(value) or parameters.map_status.get(value)
