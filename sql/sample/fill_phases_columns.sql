-- Fills the phases columns of the campaigns that the new release has touched since, in agreement with the legacy ones. $1 seed.
WITH touched AS (
    SELECT p.id, p.campaign_type, p.status, pg_temp.draw($1::bigint, p.ordinal, 51, 3) AS part
    FROM sample_plan AS p
)
UPDATE campaigns AS c
SET current_phase = CASE
        WHEN t.campaign_type IN ('domain_generation', 'comprehensive', 'automated') THEN 'generation'
        ELSE t.campaign_type
    END,
    phase_status = CASE
        WHEN t.part = 1 THEN NULL
        WHEN t.status IN ('pending', 'queued') THEN 'not_started'
        WHEN t.status = 'running' THEN 'in_progress'
        WHEN t.status IN ('pausing', 'paused') THEN 'paused'
        WHEN t.status IN ('completed', 'archived') THEN 'completed'
        ELSE 'failed'
    END,
    progress = CASE WHEN t.status IN ('completed', 'archived') THEN 100 END
FROM touched AS t
WHERE t.id = c.id AND t.part < 2;
