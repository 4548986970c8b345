-- Row security policies that read legacy columns. Campaigns' oid.
SELECT DISTINCT p.oid, format('%I ON %I.%I', p.polname, n.nspname, c.relname) AS identity, c.oid = $1 AS on_campaigns,
    pg_get_expr(p.polqual, p.polrelid) AS using_expression, pg_get_expr(p.polwithcheck, p.polrelid) AS check_expression
FROM pg_depend AS d
JOIN pg_policy AS p ON p.oid = d.objid
JOIN pg_class AS c ON c.oid = p.polrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
ORDER BY identity
