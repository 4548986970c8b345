-- The campaigns of the plan, with counters and times that fit their status. $1 seed, $2 reference time, $3 number of users.
WITH shaped AS (
    SELECT
        p.*,
        CASE
            WHEN p.status IN ('completed', 'archived') THEN 100.0
            WHEN p.status IN ('pending', 'queued') THEN 0.0
            ELSE 1 + pg_temp.draw($1::bigint, p.ordinal, 21, 9800) / 100.0
        END::double precision AS percentage,
        pg_temp.draw($1, p.ordinal, 22, 1024) AS user_draw,
        p.created_at + interval '1 microsecond' * (p.active_microseconds + pg_temp.draw($1, p.ordinal, 23, 28800000000))
            AS last_change
    FROM sample_plan AS p
)
INSERT INTO campaigns (
    id, name, campaign_type, status, launch_sequence, user_id,
    total_items, processed_items, successful_items, failed_items, progress_percentage, metadata,
    created_at, updated_at, started_at, completed_at, estimated_completion_at, last_heartbeat_at, archived_at,
    error_message, business_status, archived_reason, avg_processing_rate
)
SELECT
    s.id,
    initcap(s.keyword) || ' ' || replace(s.campaign_type, '_', ' ') || ' ' || lpad(s.ordinal::text, 5, '0'),
    s.campaign_type,
    s.status,
    s.campaign_type IN ('comprehensive', 'automated') OR pg_temp.draw($1, s.ordinal, 24, 10) = 0,
    -- A few people own most of the campaigns.
    pg_temp.key($1, 'user', 1 + s.user_draw * s.user_draw * $3::bigint / 1048576),
    s.domains,
    s.domains * s.percentage::bigint / 100,
    s.domains * s.percentage::bigint / 100 * 9 / 10,
    s.domains * s.percentage::bigint / 100 / 20,
    s.percentage,
    CASE WHEN pg_temp.draw($1, s.ordinal, 25, 5) > 0 THEN
        jsonb_build_object(
            'priority', 1 + pg_temp.draw($1, s.ordinal, 26, 5), 'keyword', s.keyword,
            'tags', jsonb_build_array('batch-' || s.ordinal % 12, 'region-' || pg_temp.draw($1, s.ordinal, 27, 6))
        )
    END,
    s.created_at,
    s.last_change,
    CASE WHEN s.status NOT IN ('pending', 'queued') THEN s.created_at + interval '90 seconds' END,
    CASE WHEN s.status IN ('completed', 'archived', 'failed', 'cancelled') THEN s.last_change END,
    CASE WHEN s.status = 'running' THEN $2::timestamptz + interval '1 hour' * (1 + s.user_draw % 72) END,
    CASE WHEN s.status IN ('running', 'pausing') THEN s.last_change END,
    CASE WHEN s.status = 'archived' THEN s.last_change END,
    CASE WHEN s.status = 'failed' THEN 'resolver pool exhausted after ' || s.user_draw || ' attempts' END,
    CASE WHEN s.user_draw % 3 = 0 THEN 'billable' WHEN s.user_draw % 3 = 1 THEN 'internal' END,
    CASE WHEN s.status = 'archived' THEN 'retention' END,
    CASE WHEN s.status NOT IN ('pending', 'queued') THEN s.user_draw / 8.0 END
FROM shaped AS s
ORDER BY s.created_at, s.id;
