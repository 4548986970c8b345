-- B-trees of generated_domains, or of its partitions, that hold a status and are not of this migration, with the statement that
-- builds each anew: unique ones and keys as well, which stay what they are.
SELECT
    i.indexrelid::bigint AS oid,
    format('%I.%I', n.nspname, c.relname) AS name,
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
    AND NOT EXISTS (
        SELECT FROM (SELECT c.oid::regclass AS relid UNION SELECT p.relid FROM pg_partition_ancestors(c.oid) AS p) AS whole
        WHERE obj_description(whole.relid, 'pg_class') LIKE 'phases migration: %'
    )
    AND EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = i.indrelid AND a.attname IN ('dns_status', 'http_status')
            AND (a.attnum = ANY (i.indkey) OR i.indexprs IS NOT NULL AND EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
            ))
    )
ORDER BY name
