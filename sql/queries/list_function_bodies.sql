-- Functions that may use legacy columns, with what their bodies are read in: the words of those columns and of the table in the
-- text, and trigger functions of campaigns ($1 oid). Ours ($2 names) and those of extensions are left out.
SELECT p.oid::regprocedure::text AS identity, l.lanname::text AS language, p.prosrc AS body,
    p.prokind = 'p' AS is_procedure,
    CASE WHEN p.prorettype = 'trigger'::regtype THEN 'trigger' WHEN p.prorettype = 'event_trigger'::regtype THEN 'event_trigger'
        WHEN p.proretset THEN 'set' WHEN p.prorettype = 'void'::regtype THEN 'void' ELSE 'value' END AS returns,
    -- A search path of its own that does not have this schema on it means another table of that name.
    NOT EXISTS (
        SELECT FROM unnest(p.proconfig) AS s (setting)
        WHERE s.setting LIKE 'search\_path=%' AND replace(substr(s.setting, 13), '"', '') !~
            ('(^|[, ])(' || current_schema() || CASE WHEN n.nspname = current_schema() THEN '|\$user' ELSE '' END || ')($|[, ])')
    ) AS sees_campaigns,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', coalesce(p.proargnames[a.number], ''), 'mode', coalesce(p.proargmodes[a.number]::text, 'i'),
            'kind', CASE WHEN t.typrelid = $1::oid THEN 'campaigns' WHEN t.typtype = 'c' OR t.oid = 'record'::regtype THEN 'row'
                WHEN t.typcategory = 'A' THEN 'array' WHEN t.oid = 'refcursor'::regtype THEN 'cursor' ELSE 'value' END
        ) ORDER BY a.number), '[]')
        FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS a (type, number)
        JOIN pg_type AS t ON t.oid = a.type
    ) AS arguments,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', g.tgname, 'table', g.tgrelid::regclass::text, 'on_campaigns', g.tgrelid = $1::oid,
            'on_domains', (coalesce(pg_partition_root(g.tgrelid), g.tgrelid) = to_regclass(format('%I.generated_domains', current_schema()))) IS TRUE,
            'enabled', g.tgenabled <> 'D', 'old_table', g.tgoldtable, 'new_table', g.tgnewtable
        ) ORDER BY g.tgname), '[]')
        FROM pg_trigger AS g WHERE g.tgfoid = p.oid AND NOT g.tgisinternal
    ) AS triggers,
    -- Indexes, checks, defaults, policies and conditions of triggers that call it.
    ARRAY(
        SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend AS d
        WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
            AND d.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_policy'::regclass,
                'pg_trigger'::regclass)
            AND NOT (d.classid = 'pg_trigger'::regclass
                AND EXISTS (SELECT FROM pg_trigger AS g WHERE g.oid = d.objid AND (g.tgfoid = p.oid OR g.tgenabled = 'D')))
        ORDER BY 1
    ) AS called_by
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_temp%'
    AND l.lanname NOT IN ('internal', 'c') AND p.prosrc <> ''
    AND NOT (p.proname = ANY ($2::text[]) AND p.pronamespace = quote_ident(current_schema())::regnamespace)
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    AND (
        p.prosrc ~* '\m(campaign_type|launch_sequence|status|campaigns)\M'
        OR EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgfoid = p.oid AND g.tgrelid = $1::oid)
        OR $1::oid = ANY (SELECT t.typrelid FROM unnest(p.proargtypes::oid[]) AS a (type) JOIN pg_type AS t ON t.oid = a.type)
    )
ORDER BY identity
