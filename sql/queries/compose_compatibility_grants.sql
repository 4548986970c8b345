-- Whoever may read campaigns may read a compatibility view, whole or column by column as there, and nobody may read more.
-- Campaigns' oid, schema, view; whether the view obeys the reader's own row level security ($4). Where campaigns has it and the
-- view does not, only the owners of views over it ($5 oids) may read it: nobody gets round a policy by its name.
WITH readers AS (
    SELECT x.grantee, NULL::text AS columns
    FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS x
    WHERE c.oid = $1 AND x.privilege_type = 'SELECT'
    UNION
    SELECT x.grantee, string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum)
    FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS x
    WHERE a.attrelid = $1 AND NOT a.attisdropped AND x.privilege_type = 'SELECT'
        AND EXISTS (
            SELECT FROM pg_attribute AS v
            WHERE v.attrelid = to_regclass(format('%I.%I', $2::text, $3::text)) AND v.attname = a.attname
        )
    GROUP BY x.grantee
),
campaigns AS (SELECT c.relowner, c.relrowsecurity FROM pg_class AS c WHERE c.oid = $1)
SELECT format('ALTER VIEW %I.%I OWNER TO %I', $2::text, $3::text, pg_get_userbyid(c.relowner)) AS statement
FROM campaigns AS c
UNION ALL
SELECT format('GRANT SELECT%s ON %I.%I TO %s', ' (' || r.columns || ')', $2::text, $3::text,
    CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END)
FROM campaigns AS c, readers AS r
WHERE r.grantee <> c.relowner AND (NOT c.relrowsecurity OR $4::boolean)
UNION ALL
SELECT DISTINCT format('GRANT SELECT ON %I.%I TO %I', $2::text, $3::text, pg_get_userbyid(o.oid))
FROM campaigns AS c, unnest($5::oid[]) AS o (oid)
WHERE o.oid <> c.relowner AND c.relrowsecurity AND NOT $4
UNION ALL
SELECT DISTINCT format('GRANT EXECUTE ON FUNCTION %I.migration_kept_values(uuid) TO %s', $2::text,
    CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END)
FROM campaigns AS c, readers AS r
WHERE r.grantee <> c.relowner AND $4
