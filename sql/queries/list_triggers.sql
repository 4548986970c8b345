-- Triggers of tables ($1 oids) that people made, with what sets them off (pg_trigger's own bits) and what they call.
SELECT
    t.tgname AS name,
    c.relname AS table_name,
    t.tgtype::integer AS bits,
    t.tgenabled::text AS enabled,
    p.proname AS function_name,
    l.lanname AS language,
    n.nspname AS function_schema,
    ARRAY(
        SELECT a.name FROM unnest(string_to_array(encode(t.tgargs, 'escape'), '\000')) AS a (name) WHERE a.name <> ''
    ) AS arguments,
    -- PostgreSQL fires triggers in the order of their names, byte by byte.
    t.tgname > 'zzy_migration_sync_models'::name AS is_after_sync,
    ARRAY(
        SELECT a.attname::text FROM unnest(t.tgattr::smallint[]) AS u (number)
        JOIN pg_attribute AS a ON a.attrelid = t.tgrelid AND a.attnum = u.number
    ) AS columns
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal
ORDER BY c.relname, t.tgname
