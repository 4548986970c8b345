-- Tables, materialized views and sequences that pg_dump would have to read and this role cannot, or not wholly.
SELECT
    c.oid::regclass::text AS name,
    NOT has_schema_privilege(c.relnamespace, 'USAGE')
        OR CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT') ELSE NOT has_table_privilege(c.oid, 'SELECT') END
        AS is_closed
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S', 'm') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
    AND (
        NOT has_schema_privilege(c.relnamespace, 'USAGE')
        OR CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT') ELSE NOT has_table_privilege(c.oid, 'SELECT') END
        OR row_security_active(c.oid)
    )
ORDER BY 1
