-- Views and materialized views that read campaigns directly, with all that CREATE OR REPLACE must repeat. Campaigns' oid.
SELECT DISTINCT c.oid, c.relkind::text AS relkind, format('%I.%I', n.nspname, c.relname) AS identity,
    pg_get_viewdef(c.oid) AS definition, array_to_string(c.reloptions, ', ') AS options,
    pg_get_userbyid(c.relowner) AS owner, c.relispopulated AS populated,
    bool_or(a.attname IN ('campaign_type', 'status', 'launch_sequence')) OVER (PARTITION BY c.oid) AS reads_legacy
FROM pg_depend AS d
JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN'
JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %'
ORDER BY identity
