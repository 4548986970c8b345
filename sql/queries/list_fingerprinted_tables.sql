-- The tables that a backup fingerprints: campaigns and generated_domains of a schema ($1) with their partitions, and the
-- users table behind campaigns.user_id.
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM (
    SELECT r.oid
    FROM pg_class AS r
    WHERE r.relnamespace = (SELECT s.oid FROM pg_namespace AS s WHERE s.nspname = $1)
        AND r.relname IN ('campaigns', 'generated_domains') AND r.relkind = 'r'
    UNION
    SELECT p.relid
    FROM pg_class AS r
    CROSS JOIN LATERAL pg_partition_tree(r.oid) AS p
    WHERE r.relnamespace = (SELECT s.oid FROM pg_namespace AS s WHERE s.nspname = $1)
        AND r.relname IN ('campaigns', 'generated_domains') AND r.relkind = 'p'
    UNION
    SELECT k.confrelid
    FROM pg_constraint AS k
    JOIN pg_class AS r ON r.oid = k.conrelid
    JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attname = 'user_id' AND NOT a.attisdropped
    WHERE r.relnamespace = (SELECT s.oid FROM pg_namespace AS s WHERE s.nspname = $1)
        AND r.relname = 'campaigns' AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum]
) AS f
JOIN pg_class AS c ON c.oid = f.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY name
