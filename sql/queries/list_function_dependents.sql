-- Functions with an SQL-standard body that reads legacy columns: the catalog knows these. Campaigns' oid.
SELECT DISTINCT p.oid, p.oid::regprocedure::text AS identity, pg_get_functiondef(p.oid) AS definition
FROM pg_depend AS d
JOIN pg_proc AS p ON p.oid = d.objid
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
ORDER BY identity
