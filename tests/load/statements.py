"""What the writers send: the statements of an application that knows the legacy model, and of one that knows phases."""

from __future__ import annotations

COLUMNS = "domain_generation_campaign_id, domain_name, offset_index, dns_status, http_status, lead_score"
# Rows of a writer's own, by campaign and name. Only this writer touches them, so that two writers never wait for each
# other's domains: a deadlock between writers of domains would be the migration's doing.
OWN = "UNNEST($1::uuid[], $2::text[]) AS own (campaign_id, name)"
IS_OWN = "d.domain_generation_campaign_id = own.campaign_id AND d.domain_name = own.name"

# Those of the writers' own belong to the writer that made them.
LIST_CAMPAIGNS = "SELECT id, user_id FROM campaigns WHERE name NOT LIKE 'load %' ORDER BY id"
INSERT_ONE = f"INSERT INTO generated_domains ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)"
INSERT_MANY = f"""
INSERT INTO generated_domains ({COLUMNS})
SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::numeric[])
"""
UPSERT = (
    INSERT_MANY
    + """
ON CONFLICT (domain_generation_campaign_id, domain_name)
DO UPDATE SET dns_status = excluded.dns_status, http_status = excluded.http_status, lead_score = excluded.lead_score
"""
)
UPDATE_OWN = f"""
UPDATE generated_domains AS d
SET dns_status = $3, http_status = $4, lead_score = $5, last_validated_at = now() FROM {OWN} WHERE {IS_OWN}
"""
MOVE_OWN = f"UPDATE generated_domains AS d SET domain_generation_campaign_id = $3 FROM {OWN} WHERE {IS_OWN}"
DELETE_OWN = f"DELETE FROM generated_domains AS d USING {OWN} WHERE {IS_OWN}"
# Rows of the sample, shared out between the writers by their offset.
UPDATE_SAMPLE = """
UPDATE generated_domains SET dns_status = $3, http_status = $4, lead_score = $5, last_validated_at = now()
WHERE domain_generation_campaign_id = $1 AND offset_index = ANY ($2::bigint[])
"""
TRUNCATE = "TRUNCATE generated_domains CASCADE"

READ_CAMPAIGN = "SELECT * FROM campaigns WHERE id = $1"
UPDATE_PROGRESS = """
UPDATE campaigns SET progress_percentage = $2, processed_items = processed_items + 1, last_heartbeat_at = now()
WHERE id = $1
"""
DELETE_CAMPAIGN = "DELETE FROM campaigns WHERE id = $1"
KNOWS_COLUMN = """
SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('campaigns') AND attname = $1 AND NOT attisdropped
)
"""


class Legacy:
    """The application as it was."""

    known_by = "campaign_type"
    insert_campaign = (
        "INSERT INTO campaigns (name, user_id, campaign_type, status, launch_sequence)"
        " VALUES ($1, $2, $3, $4, true) RETURNING id"
    )
    set_stage = "UPDATE campaigns SET campaign_type = $2 WHERE id = $1"
    set_status = "UPDATE campaigns SET status = $2 WHERE id = $1"
    set_both = "UPDATE campaigns SET campaign_type = $2, status = $3 WHERE id = $1"
    read = "SELECT id, campaign_type, status FROM campaigns WHERE user_id = $1 ORDER BY updated_at DESC LIMIT 20"
    stages = (
        "domain_generation",
        "dns_validation",
        "http_keyword_validation",
        "analysis",
        "comprehensive",
        "automated",
    )
    statuses = (
        "pending",
        "queued",
        "running",
        "pausing",
        "paused",
        "completed",
        "failed",
        "cancelled",
        "archived",
    )


class Phases:
    """The application as it will be."""

    known_by = "current_phase"
    insert_campaign = (
        "INSERT INTO campaigns (name, user_id, current_phase, phase_status) VALUES ($1, $2, $3, $4) RETURNING id"
    )
    set_stage = "UPDATE campaigns SET current_phase = $2 WHERE id = $1"
    set_status = "UPDATE campaigns SET phase_status = $2 WHERE id = $1"
    set_both = "UPDATE campaigns SET current_phase = $2, phase_status = $3 WHERE id = $1"
    read = "SELECT id, current_phase, phase_status FROM campaigns WHERE user_id = $1 ORDER BY updated_at DESC LIMIT 20"
    stages = ("setup", "generation", "dns_validation", "http_keyword_validation", "analysis")
    statuses = ("not_started", "in_progress", "paused", "completed", "failed")


Application = type[Legacy] | type[Phases]
