-- What a materialized view ($1 oid) carries besides its definition, as statements that give it to the one that takes its name. Rights
-- that default privileges give to what this role makes are taken away first.
WITH subject AS (
    SELECT c.oid, c.relowner, c.relacl, c.reltablespace, c.relam, n.oid AS home, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) AS identity
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = $1
),
indexes AS (
    SELECT i.oid, i.relname, t.spcname, x.indisclustered, pg_get_indexdef(i.oid) AS definition, format('%I.%I', s.nspname, i.relname) AS identity
    FROM subject AS s
    JOIN pg_index AS x ON x.indrelid = s.oid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    LEFT JOIN pg_tablespace AS t ON t.oid = i.reltablespace
),
columns AS (
    SELECT a.*, t.typstorage FROM subject AS s
    JOIN pg_attribute AS a ON a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
),
roles AS (
    SELECT 0::oid AS oid, 'PUBLIC' AS name
    UNION ALL
    SELECT r.oid, quote_ident(r.rolname) FROM pg_roles AS r
),
statements AS (
    SELECT 1 AS position, format('ALTER MATERIALIZED VIEW %s OWNER TO %I', s.identity, pg_get_userbyid(s.relowner)) AS statement
    FROM subject AS s
    UNION ALL
    SELECT DISTINCT 2, format('REVOKE ALL ON %s FROM %s', s.identity, r.name)
    FROM subject AS s
    JOIN pg_default_acl AS d ON d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, s.home) AND d.defaclrole = current_user::regrole
    CROSS JOIN LATERAL aclexplode(d.defaclacl) AS g
    JOIN roles AS r ON r.oid = g.grantee
    WHERE g.grantee <> s.relowner
    UNION ALL
    SELECT 3, format('GRANT %s ON %s TO %s%s', g.privilege_type, s.identity, r.name, CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM subject AS s CROSS JOIN LATERAL aclexplode(s.relacl) AS g JOIN roles AS r ON r.oid = g.grantee
    WHERE g.grantee <> s.relowner
    UNION ALL
    SELECT 4, format('GRANT %s (%I) ON %s TO %s%s', g.privilege_type, a.attname, s.identity, r.name,
        CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM subject AS s, columns AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS g JOIN roles AS r ON r.oid = g.grantee
    UNION ALL
    SELECT 5, format('COMMENT ON MATERIALIZED VIEW %s IS %L', s.identity, obj_description(s.oid, 'pg_class'))
    FROM subject AS s WHERE obj_description(s.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 6, format('COMMENT ON COLUMN %s.%I IS %L', s.identity, a.attname, col_description(s.oid, a.attnum))
    FROM subject AS s, columns AS a WHERE col_description(s.oid, a.attnum) IS NOT NULL
    UNION ALL
    SELECT 7, format('ALTER MATERIALIZED VIEW %s ALTER COLUMN %I %s', s.identity, a.attname, x.setting)
    FROM subject AS s, columns AS a
    CROSS JOIN LATERAL (
        SELECT format('SET STATISTICS %s', a.attstattarget) AS setting WHERE coalesce(a.attstattarget, -1) >= 0
        UNION ALL
        SELECT format('SET (%s)', string_agg(o, ', ')) FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\_%' HAVING count(*) > 0
        UNION ALL
        SELECT format('SET STORAGE %s', CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
        WHERE a.attstorage <> a.typstorage
        UNION ALL
        SELECT format('SET COMPRESSION %s', CASE a.attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END) WHERE a.attcompression <> ''
    ) AS x
    UNION ALL
    SELECT 8, format('COMMENT ON INDEX %s IS %L', i.identity, obj_description(i.oid, 'pg_class'))
    FROM indexes AS i WHERE obj_description(i.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 9, format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', i.identity, a.attnum, a.attstattarget)
    FROM indexes AS i JOIN pg_attribute AS a ON a.attrelid = i.oid WHERE coalesce(a.attstattarget, -1) >= 0
    UNION ALL
    SELECT 10, format('ALTER MATERIALIZED VIEW %s CLUSTER ON %I', s.identity, i.relname) FROM subject AS s, indexes AS i WHERE i.indisclustered
)
SELECT s.nspname::text AS schema, quote_ident(s.nspname) AS quoted_schema, s.relname::text AS name, t.spcname::text AS tablespace,
    (SELECT m.amname::text FROM pg_am AS m WHERE m.oid = s.relam AND m.amname <> current_setting('default_table_access_method')) AS access_method,
    array(SELECT i.relname::text FROM indexes AS i ORDER BY i.relname) AS index_names,
    array(SELECT i.definition FROM indexes AS i ORDER BY i.relname) AS index_definitions,
    array(SELECT i.spcname::text FROM indexes AS i ORDER BY i.relname) AS index_tablespaces,
    array(SELECT x.statement FROM statements AS x ORDER BY x.position, x.statement) AS afterwards,
    array(
        SELECT DISTINCT r.ev_class::bigint FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid AND r.ev_class <> s.oid
    ) AS readers
FROM subject AS s
LEFT JOIN pg_tablespace AS t ON t.oid = s.reltablespace
