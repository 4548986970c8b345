-- What the way back does to each campaign: its own legacy values again, or the inverse mapping.
SELECT
    count(*) FILTER (WHERE fate = 'unchanged') AS unchanged,
    count(*) FILTER (WHERE fate = 'changed') AS changed,
    count(*) FILTER (WHERE fate = 'created') AS created,
    coalesce((array_agg(id::text ORDER BY id) FILTER (WHERE fate = 'changed'))[1:20], '{}') AS changed_keys,
    coalesce((array_agg(id::text ORDER BY id) FILTER (WHERE fate = 'created'))[1:20], '{}') AS created_keys
FROM (
    SELECT c.id,
        CASE
            WHEN v.campaign_id IS NULL THEN 'created'
            WHEN migration_map_phase_status(v.status) IS DISTINCT FROM c.phase_status::text
                OR (coalesce(v.campaign_type NOT IN ('comprehensive', 'automated'), true)
                    AND migration_map_current_phase(v.campaign_type) IS DISTINCT FROM c.current_phase::text)
                THEN 'changed'
            ELSE 'unchanged'
        END AS fate
    FROM campaigns AS c
    LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id
) AS judged
