-- B-trees of generated_domains, or of its partitions, that hold a status and were not made by this migration, with the statement
-- that builds each anew. A unique or a primary key stays what it is.
SELECT
    i.indexrelid::bigint AS oid,
    i.indexrelid::regclass::text AS name,
    c.relname::text AS bare_name,
    format('REINDEX INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) AS statement,
    i.indrelid::regclass::text AS table_name,
    pg_relation_size(c.oid) AS bytes
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS m ON m.oid = c.relam AND m.amname = 'btree'
WHERE i.indrelid IN (
        SELECT to_regclass(format('%I.generated_domains', current_schema()))::oid
        UNION
        SELECT p.relid::oid FROM pg_partition_tree(to_regclass(format('%I.generated_domains', current_schema()))) AS p
    )
    AND i.indisvalid AND i.indisready AND i.indislive AND NOT i.indisexclusion
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %'
    AND EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = i.indrelid AND a.attname IN ('dns_status', 'http_status') AND a.attnum = ANY (i.indkey)
    )
ORDER BY name
