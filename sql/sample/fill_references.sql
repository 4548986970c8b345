-- The tables around campaigns and generated_domains: a few rows per campaign, one per cent or so of the domains. One data-modifying
-- query, so that it takes parameters. $1 seed, $2 reference time, $3 number of users.
WITH jobs AS (
    INSERT INTO campaign_jobs (
        id, campaign_id, job_type, status, scheduled_at, attempts, last_attempted_at, last_error, job_payload,
        next_execution_at, created_at, updated_at
    )
    SELECT
        pg_temp.key($1::bigint, 'job', p.ordinal * 8 + j),
        p.id,
        ('{generate,validate_dns,validate_http,score}'::text[])[j],
        CASE WHEN p.status IN ('completed', 'archived') THEN 'completed' WHEN p.status = 'failed' AND j = 1 THEN 'failed' ELSE 'pending' END,
        p.created_at + interval '1 minute' * j,
        pg_temp.draw($1, p.ordinal * 8 + j, 41, 4),
        CASE WHEN p.status <> 'pending' THEN p.created_at + interval '2 minutes' * j END,
        CASE WHEN p.status = 'failed' AND j = 1 THEN 'timeout' END,
        jsonb_build_object('campaign', p.id, 'batch', j * 100),
        CASE WHEN p.status = 'running' THEN $2::timestamptz + interval '1 minute' * j END,
        p.created_at,
        p.created_at + interval '3 minutes' * j
    FROM sample_plan AS p
    CROSS JOIN LATERAL generate_series(1, 1 + p.ordinal % 4) AS j
),
events AS (
    INSERT INTO campaign_events (campaign_id, user_id, event_type, payload, occurred_at)
    SELECT
        p.id,
        pg_temp.key($1, 'user', 1 + pg_temp.draw($1, p.ordinal * 8 + e, 42, $3::bigint)),
        ('{created,started,progressed,commented,finished}'::text[])[e],
        jsonb_build_object('status', p.status),
        p.created_at + interval '7 minutes' * e
    FROM sample_plan AS p
    CROSS JOIN LATERAL generate_series(1, 2 + p.ordinal % 4) AS e
    ORDER BY p.ordinal, e
),
shares AS (
    INSERT INTO campaign_shares (campaign_id, user_id, can_edit, shared_at)
    SELECT p.id, pg_temp.key($1, 'user', 1 + pg_temp.draw($1, p.ordinal, 43, $3)), p.ordinal % 2 = 0, p.created_at
    FROM sample_plan AS p
    WHERE p.ordinal % 5 = 0
),
exports AS (
    INSERT INTO campaign_exports (id, campaign_id, file_name, row_count, exported_at)
    SELECT pg_temp.key($1, 'export', p.ordinal), p.id, p.keyword || '-' || p.ordinal || '.csv', p.domains, p.created_at + interval '1 day'
    FROM sample_plan AS p
    WHERE p.status IN ('completed', 'archived') AND p.ordinal % 3 = 0
),
usage AS (
    INSERT INTO proxies_usage (campaign_id, proxy_address, requests, failures, used_on)
    SELECT p.id, ('203.0.113.' || 1 + x * 40 + p.ordinal % 40)::inet, p.domains * 2 + x, x * 3, (p.created_at AT TIME ZONE 'UTC')::date
    FROM sample_plan AS p
    CROSS JOIN LATERAL generate_series(0, p.ordinal % 3) AS x
    ORDER BY p.ordinal, x
),
picked AS (
    SELECT d.id, d.domain_generation_campaign_id, d.domain_name, d.source_keyword, d.lead_score, d.generated_at, p.ordinal, d.offset_index
    FROM generated_domains AS d
    INNER JOIN sample_plan AS p ON p.id = d.domain_generation_campaign_id
    WHERE (p.first_domain + d.offset_index) % 50 = 0
),
leads AS (
    INSERT INTO lead_items (id, campaign_id, domain_id, email, company, score, created_at)
    SELECT md5('lead' || k.id)::uuid, k.domain_generation_campaign_id, k.id, 'info@' || k.domain_name, initcap(k.source_keyword), k.lead_score, k.generated_at
    FROM picked AS k
    WHERE k.lead_score > 0
),
tags AS (
    INSERT INTO domain_tags (domain_id, tag, tagged_at)
    SELECT k.id, t.tag, k.generated_at
    FROM picked AS k
    CROSS JOIN LATERAL (VALUES ('reviewed'), ('region-' || k.ordinal % 6)) AS t (tag)
    WHERE k.offset_index % 2 = 0
)
INSERT INTO keyword_extractions (domain_id, keyword, occurrences, extracted_at)
SELECT k.id, k.source_keyword, 1 + k.offset_index % 9, k.generated_at
FROM picked AS k
WHERE k.offset_index % 3 = 0
ORDER BY k.ordinal, k.offset_index;
