-- Invalid indexes of the core tables and their partitions, with what mends each. One that is being built is nobody's leftover.
SELECT
    i.indexrelid::regclass::text AS index_name,
    c.relname ~ '_cc(new|old)[0-9]*$' AS leftover,
    EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.relid = i.indrelid) AS building,
    c.relkind = 'I' AS partitioned,
    CASE WHEN c.relname ~ '_cc(new|old)[0-9]*$'
        THEN format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname)
        ELSE format('REINDEX INDEX CONCURRENTLY %I.%I', n.nspname, c.relname)
    END AS remedy
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
    AND i.indrelid IN (
        SELECT to_regclass(format('%I.%I', current_schema(), t.name))::oid
        FROM (VALUES ('campaigns'), ('generated_domains')) AS t (name)
        UNION
        SELECT p.relid::oid
        FROM (VALUES ('campaigns'), ('generated_domains')) AS t (name)
        CROSS JOIN LATERAL pg_partition_tree(to_regclass(format('%I.%I', current_schema(), t.name))) AS p
    )
ORDER BY leftover DESC, index_name
