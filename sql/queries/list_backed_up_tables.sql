-- Tables whose rows a backup holds, with the statements that count and fingerprint them. The fingerprint adds up a hash of
-- each row, whatever their order: natively where every column's hash is the same on any server, else over the row's text.
-- Fingerprinted are the tables given ($1, as schema-qualified names).
SELECT
    t.name,
    format('SELECT count(*)::bigint AS count, NULL::text AS checksum FROM ONLY %s', t.name) AS count_statement,
    format(
        'SELECT /* migration_backup */ count(*)::bigint AS count, coalesce(sum(%s::numeric), 0)::text AS checksum FROM ONLY %s AS t',
        CASE WHEN t.is_plain THEN format('hash_record_extended(ROW(%s), 0)', t.columns) ELSE 'hashtextextended((t.*)::text, 0)' END,
        t.name
    ) AS checksum_statement,
    t.name = ANY ($1::text[]) AS is_fingerprinted
FROM (
    SELECT
        format('%I.%I', n.nspname, c.relname) AS name,
        string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attname) AS columns,
        -- An enum's hash is its object id, a tsvector has none.
        coalesce(bool_and(y.typname IN (
            'bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'text', 'varchar', 'bpchar', 'uuid', 'date', 'time',
            'timestamp', 'timestamptz', 'interval', 'jsonb', 'bytea', 'inet', 'macaddr', 'name'
        ) AND y.typnamespace = 'pg_catalog'::regnamespace), false) AS is_plain
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_type AS y ON y.oid = a.atttypid
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY n.nspname, c.relname
) AS t
ORDER BY t.name
