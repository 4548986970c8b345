-- Views and materialized views that read campaigns ($1 oid) directly, with all that CREATE OR REPLACE must repeat.
SELECT c.oid, c.relkind::text AS relkind, format('%I.%I', n.nspname, c.relname) AS identity,
    pg_get_viewdef(c.oid) AS definition, array_to_string(c.reloptions, ', ') AS options, c.relispopulated AS populated,
    c.relowner AS owner, o.rolname::text AS owner_name,
    o.rolsuper OR o.rolbypassrls OR (NOT t.relforcerowsecurity AND pg_has_role(o.oid, t.relowner, 'USAGE')) AS owner_sees_all,
    coalesce((
        SELECT x.option_value::boolean FROM pg_options_to_table(c.reloptions) AS x WHERE x.option_name = 'security_invoker'
    ), false) AS is_invoker,
    bool_or(a.attname IN ('campaign_type', 'status', 'launch_sequence')) AS reads_legacy
FROM pg_depend AS d
JOIN pg_class AS t ON t.oid = d.refobjid
JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN'
JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS o ON o.oid = c.relowner
LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %'
GROUP BY c.oid, n.nspname, o.oid, o.rolname, o.rolsuper, o.rolbypassrls, t.relforcerowsecurity, t.relowner
ORDER BY identity
