-- Functions with parsed bodies and policies of other tables that read campaigns ($1 oid) and no legacy column of it by name. Whether
-- they hand on whole rows (to_jsonb(c)), which would lose keys without an error, their text tells.
SELECT 'function ' || p.oid::regprocedure::text AS description, pg_get_functiondef(p.oid) AS text
FROM pg_proc AS p
WHERE EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1)
    AND p.prosqlbody IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_depend AS d JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
            AND a.attname IN ('campaign_type', 'status', 'launch_sequence'))
UNION ALL
SELECT pg_describe_object('pg_policy'::regclass, y.oid, 0),
    'SELECT ' || concat_ws(', ', pg_get_expr(y.polqual, y.polrelid), pg_get_expr(y.polwithcheck, y.polrelid))
FROM pg_policy AS y
WHERE y.polrelid <> $1
    AND EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_policy'::regclass AND d.objid = y.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1)
    AND NOT EXISTS (SELECT FROM pg_depend AS d JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_policy'::regclass AND d.objid = y.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
            AND a.attname IN ('campaign_type', 'status', 'launch_sequence'))
ORDER BY 1
