-- The shape of golang-migrate's table in a schema ($1): its kind, its columns, its primary key. No row where there is none.
SELECT
    c.relkind::text AS kind,
    has_table_privilege(c.oid, 'SELECT') AS is_readable,
    has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'TRUNCATE') AS is_writable,
    ARRAY(
        SELECT format('%s %s%s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' ELSE '' END)
        FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
    ) AS columns,
    (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'p') AS primary_key
FROM pg_class AS c
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = $1) AND c.relname = 'schema_migrations'
