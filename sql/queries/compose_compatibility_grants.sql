-- Whoever may read campaigns may read the compatibility view; with row level security it is read with the reader's rights,
-- and so is the table of kept values. Campaigns' oid, schema, view.
SELECT format('ALTER VIEW %I.%I OWNER TO %I', $2::text, $3::text, pg_get_userbyid(c.relowner)) AS statement
FROM pg_class AS c WHERE c.oid = $1
UNION ALL
SELECT format('GRANT SELECT ON %I.%I TO %s', $2::text, t.name, CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
FROM pg_class AS c
CROSS JOIN LATERAL (
    SELECT x.grantee FROM aclexplode(c.relacl) AS x WHERE x.privilege_type = 'SELECT' AND x.grantee <> c.relowner
    UNION
    SELECT x.grantee FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS x
    WHERE a.attrelid = c.oid AND x.privilege_type = 'SELECT' AND x.grantee <> c.relowner
) AS g
CROSS JOIN LATERAL (
    SELECT $3::text AS name
    UNION ALL
    SELECT 'migration_legacy_values' WHERE c.relrowsecurity
) AS t
WHERE c.oid = $1
