-- What a materialized view carries besides its definition, as statements that give it to another one. {name} is its new name.
SELECT
    format('%I', n.nspname) AS schema_name, c.relname::text AS name, pg_get_userbyid(c.relowner) AS owner, c.relispopulated AS populated,
    array_to_string(c.reloptions, ', ') AS options, t.spcname AS tablespace,
    array(
        SELECT pg_get_indexdef(i.indexrelid) FROM pg_index AS i WHERE i.indrelid = c.oid ORDER BY i.indexrelid::regclass::text
    ) AS index_definitions,
    array(
        SELECT x.statement FROM (
            SELECT 1 AS position, format('ALTER MATERIALIZED VIEW %I.%I OWNER TO %I', n.nspname, c.relname, pg_get_userbyid(c.relowner)) AS statement
            UNION ALL
            SELECT 2, format('COMMENT ON MATERIALIZED VIEW %I.%I IS %L', n.nspname, c.relname, obj_description(c.oid, 'pg_class'))
            WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
            UNION ALL
            SELECT 3, format('COMMENT ON COLUMN %I.%I.%I IS %L', n.nspname, c.relname, a.attname, col_description(c.oid, a.attnum))
            FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NOT NULL
            UNION ALL
            SELECT 4, format('ALTER MATERIALIZED VIEW %I.%I ALTER COLUMN %I SET STATISTICS %s', n.nspname, c.relname, a.attname, a.attstattarget)
            FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND coalesce(a.attstattarget, -1) >= 0
            UNION ALL
            SELECT 5, format('GRANT %s ON %I.%I TO %s%s', g.privilege_type, n.nspname, c.relname,
                CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM aclexplode(c.relacl) AS g WHERE g.grantee <> c.relowner
            UNION ALL
            SELECT 6, format('COMMENT ON INDEX %I.%I IS %L', n.nspname, i.relname, obj_description(i.oid, 'pg_class'))
            FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
            WHERE x.indrelid = c.oid AND obj_description(i.oid, 'pg_class') IS NOT NULL
            UNION ALL
            SELECT 7, format('ALTER MATERIALIZED VIEW %I.%I CLUSTER ON %I', n.nspname, c.relname, i.relname)
            FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
            WHERE x.indrelid = c.oid AND x.indisclustered
        ) AS x ORDER BY x.position
    ) AS afterwards,
    array(
        SELECT DISTINCT r.ev_class::bigint FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND r.ev_class <> c.oid
    ) AS readers
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_tablespace AS t ON t.oid = c.reltablespace
WHERE c.oid = $1
