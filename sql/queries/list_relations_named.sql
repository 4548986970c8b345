-- Relations and types of a schema ($1) that bear one of these names ($2).
SELECT
    c.relname AS name,
    c.relkind::text AS kind,
    pg_describe_object('pg_class'::regclass, c.oid, 0) AS description,
    coalesce(obj_description(c.oid, 'pg_class'), '') AS comment,
    CASE WHEN c.relkind IN ('i', 'I') THEN replace(regexp_replace(pg_get_indexdef(c.oid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'),
        ' ON ONLY ', ' ON ') END AS definition,
    coalesce(i.indisvalid AND i.indisready AND i.indislive, true) AS is_valid
FROM pg_class AS c
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = $1) AND c.relname = ANY ($2::text[])
UNION ALL
SELECT t.typname, 'type', pg_describe_object('pg_type'::regclass, t.oid, 0), '', NULL, true
FROM pg_type AS t
WHERE t.typnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = $1) AND t.typname = ANY ($2::text[])
    AND t.typrelid = 0
ORDER BY 1
