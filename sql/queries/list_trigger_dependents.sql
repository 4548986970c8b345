-- Triggers on campaigns whose UPDATE OF list or WHEN clause names a legacy column, with their functions' bodies.
SELECT DISTINCT t.oid, t.tgname::text AS identity, pg_get_triggerdef(t.oid) AS definition, p.prosrc AS body,
    t.tgconstraint <> 0 AS is_constraint
FROM pg_depend AS d
JOIN pg_trigger AS t ON t.oid = d.objid AND NOT t.tgisinternal
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_trigger'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
    AND p.proname <> 'migration_keep_legacy_values'
ORDER BY identity
