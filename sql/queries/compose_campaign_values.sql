-- Writes the query that counts campaigns by what both models say of them; a column that is not there counts as NULL. By its mark
-- the look at pg_stat_statements knows that no application asks.
SELECT format(
    'SELECT /* migration_preflight */ %s, count(*) AS campaigns, (array_agg(id::text ORDER BY id))[1:20] AS keys FROM %s'
    ' GROUP BY 1, 2, 3, 4 ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, 3 NULLS FIRST, 4 NULLS FIRST',
    string_agg(
        CASE WHEN a.attname IS NULL THEN 'NULL::text' ELSE format('%I::text COLLATE "C"', a.attname) END
        || format(' AS %I', wanted.name), ', ' ORDER BY wanted.position
    ),
    $1::oid::regclass
)
FROM (VALUES (1, 'campaign_type'), (2, 'status'), (3, 'current_phase'), (4, 'phase_status')) AS wanted (position, name)
LEFT JOIN pg_attribute AS a ON a.attrelid = $1::oid AND a.attname = wanted.name AND NOT a.attisdropped
