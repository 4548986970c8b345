-- Relations other than campaigns ($1 oid) with a column that bears the name of a legacy one, by their bare names.
SELECT c.relname::text AS relation, array_agg(DISTINCT a.attname::text) AS columns
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
WHERE a.attname IN ('campaign_type', 'status', 'launch_sequence') AND a.attnum > 0 AND NOT a.attisdropped
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid <> $1
GROUP BY c.relname
ORDER BY c.relname
