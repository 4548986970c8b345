-- Triggers on campaigns ($1 oid) whose UPDATE OF list or WHEN clause names a legacy column, with their functions' bodies. Replacing
-- one enables it, and a constraint trigger must be dropped: what has to be said again stands beside.
SELECT DISTINCT t.oid, t.tgname::text AS identity, pg_get_triggerdef(t.oid) AS definition, p.prosrc AS body,
    t.tgconstraint <> 0 AS is_constraint, format('%I ON %I.%I', t.tgname, n.nspname, c.relname) AS place,
    CASE t.tgenabled
        WHEN 'D' THEN format('ALTER TABLE %I.%I DISABLE TRIGGER %I', n.nspname, c.relname, t.tgname)
        WHEN 'A' THEN format('ALTER TABLE %I.%I ENABLE ALWAYS TRIGGER %I', n.nspname, c.relname, t.tgname)
        WHEN 'R' THEN format('ALTER TABLE %I.%I ENABLE REPLICA TRIGGER %I', n.nspname, c.relname, t.tgname)
    END AS state_statement, obj_description(t.oid, 'pg_trigger') AS remark
FROM pg_depend AS d
JOIN pg_trigger AS t ON t.oid = d.objid AND NOT t.tgisinternal
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_trigger'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
    AND p.proname <> 'migration_keep_legacy_values'
ORDER BY identity
