-- Bytes of rows that a backup of this database holds before compression, and bytes that the migration itself will write.
SELECT
    coalesce(sum(pg_table_size(c.oid)), 0)::bigint AS table_bytes,
    (
        -- Two copies of campaigns, its rows written anew, and indexes whose entries take some 60 bytes.
        SELECT coalesce(sum(CASE WHEN k.relname = 'campaigns' THEN 6 * pg_total_relation_size(k.oid) ELSE 0 END), 0)::bigint
            + coalesce(sum(greatest(k.reltuples, 0) * 60), 0)::bigint
        FROM pg_class AS k WHERE k.oid = ANY ($1::oid[])
    ) AS migration_bytes,
    pg_database_size(current_database()) AS database_bytes
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
