-- All that depends on the legacy columns of campaigns ($1 oid), at any depth, views over whole rows of it ($2 oids) included, but
-- for what 000035 drops and records without a word: indexes, defaults and checks of the columns themselves.
WITH RECURSIVE legacy AS (
    SELECT a.attnum
    FROM pg_attribute AS a
    WHERE a.attrelid = $1 AND NOT a.attisdropped AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
),
-- Views over functions that return rows of campaigns: up to PostgreSQL 14 the catalog does not say which columns they read.
by_function AS (
    SELECT DISTINCT r.oid AS rule, r.ev_class AS view
    FROM pg_class AS c
    JOIN pg_proc AS p ON p.prorettype = c.reltype
    JOIN pg_depend AS d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN'
    WHERE c.oid = $1 AND current_setting('server_version_num')::integer < 150000
        AND pg_get_viewdef(r.ev_class) ~ '\m(campaign_type|status|launch_sequence)\M'
),
walked (classid, objid, objsubid) AS (
    SELECT d.classid, d.objid, d.objsubid
    FROM pg_depend AS d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
        AND d.refobjsubid IN (SELECT l.attnum FROM legacy AS l)
    UNION
    SELECT 'pg_class'::regclass::oid, v.oid, 0 FROM unnest($2::oid[]) AS v (oid)
    UNION
    SELECT 'pg_rewrite'::regclass::oid, b.rule, 0 FROM by_function AS b
    UNION
    SELECT s.classid, s.objid, s.objsubid
    FROM walked AS w
    CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid
        FROM pg_depend AS d
        WHERE d.refclassid = w.classid AND d.refobjid = w.objid AND (w.objsubid = 0 OR d.refobjsubid = w.objsubid)
        UNION
        -- A rule is the definition of a view: whoever reads the view comes next.
        SELECT 'pg_class'::regclass::oid, r.ev_class, 0
        FROM pg_rewrite AS r
        WHERE w.classid = 'pg_rewrite'::regclass AND r.oid = w.objid AND r.rulename = '_RETURN'
    ) AS s
    WHERE NOT (s.classid = 'pg_class'::regclass AND s.objid = $1 AND s.objsubid = 0)
),
named AS (
    SELECT DISTINCT f.classid, f.objid, f.objsubid, f.classid::regclass::text AS catalog,
        coalesce(
            -- The expression of a generated column is the column.
            (
                SELECT pg_describe_object('pg_class'::regclass, x.adrelid, x.adnum)
                FROM pg_attrdef AS x
                JOIN pg_attribute AS a ON a.attrelid = x.adrelid AND a.attnum = x.adnum AND a.attgenerated <> ''
                WHERE f.classid = 'pg_attrdef'::regclass AND x.oid = f.objid
            ),
            pg_describe_object(f.classid, f.objid, f.objsubid)
        ) AS description
    FROM walked AS f
    WHERE f.classid <> 'pg_type'::regclass
        -- Up to PostgreSQL 14 a generated column is there beside its expression.
        AND NOT (f.classid = 'pg_class'::regclass AND EXISTS (
            SELECT FROM pg_attribute AS a WHERE a.attrelid = f.objid AND a.attnum = f.objsubid AND a.attgenerated <> ''
        ))
        AND NOT (f.classid = 'pg_rewrite'::regclass
            AND EXISTS (SELECT FROM pg_rewrite AS r WHERE r.oid = f.objid AND r.rulename = '_RETURN'))
        AND NOT (f.classid = 'pg_attrdef'::regclass AND EXISTS (
            SELECT FROM pg_attrdef AS x
            WHERE x.oid = f.objid AND x.adrelid = $1 AND x.adnum IN (SELECT l.attnum FROM legacy AS l)
        ))
        AND NOT (f.classid = 'pg_constraint'::regclass AND EXISTS (
            SELECT FROM pg_constraint AS k
            WHERE k.oid = f.objid AND k.conrelid = $1 AND k.contype IN ('c', 'n', 'f')
                AND k.conkey <@ (SELECT array_agg(l.attnum) FROM legacy AS l)
        ))
        -- Indexes: 000035 drops the plain ones of campaigns, others go and come with their constraint or materialized view.
        AND NOT (f.classid = 'pg_class'::regclass AND EXISTS (
            SELECT FROM pg_class AS c WHERE c.oid = f.objid AND f.objsubid = 0 AND c.relkind IN ('i', 'I', 't')
        ))
        -- The constraint behind a constraint trigger is that trigger.
        AND NOT (f.classid = 'pg_constraint'::regclass
            AND EXISTS (SELECT FROM pg_constraint AS k WHERE k.oid = f.objid AND k.contype = 't'))
        -- Triggers that the server made for a foreign key, and ours.
        AND NOT (f.classid = 'pg_trigger'::regclass AND EXISTS (
            SELECT FROM pg_trigger AS t
            JOIN pg_proc AS p ON p.oid = t.tgfoid
            WHERE t.oid = f.objid
                AND (t.tgisinternal OR t.tgname = 'migration_keep_legacy_values_update' AND p.proname = 'migration_keep_legacy_values')
        ))
        AND NOT (f.classid = 'pg_class'::regclass AND coalesce(obj_description(f.objid, 'pg_class'), '') LIKE 'phases migration: %')
)
SELECT n.catalog, n.objid::bigint AS oid, n.description,
    CASE n.catalog
        WHEN 'pg_class' THEN (SELECT c.relkind::text FROM pg_class AS c WHERE c.oid = n.objid AND n.objsubid = 0)
        WHEN 'pg_constraint' THEN (SELECT k.contype::text FROM pg_constraint AS k WHERE k.oid = n.objid)
    END AS kind,
    EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = n.classid AND d.objid = n.objid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
            AND d.refobjsubid IN (SELECT l.attnum FROM legacy AS l)
    ) OR EXISTS (
        SELECT FROM pg_rewrite AS r
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE n.catalog = 'pg_class' AND r.ev_class = n.objid AND r.rulename = '_RETURN'
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid IN (SELECT l.attnum FROM legacy AS l)
    ) OR (n.catalog = 'pg_class' AND n.objid IN (SELECT b.view FROM by_function AS b)) AS is_direct,
    -- Which materialized views it hangs on without being a view itself: those are built anew and swapped.
    ARRAY(
        SELECT DISTINCT m.oid::regclass::text
        FROM pg_depend AS d
        JOIN pg_class AS m ON m.oid = d.refobjid OR m.reltype = d.refobjid
            OR EXISTS (SELECT FROM pg_type AS t WHERE t.oid = d.refobjid AND t.typelem = m.reltype)
        WHERE d.classid = n.classid AND d.objid = n.objid AND m.relkind = 'm' AND m.oid <> n.objid
    ) AS materialized_views,
    n.catalog = 'pg_statistic_ext' AND EXISTS (SELECT FROM pg_statistic_ext AS s WHERE s.oid = n.objid AND s.stxrelid = $1)
        AS is_of_campaigns,
    -- Up to PostgreSQL 14 publications have neither column lists nor row filters.
    n.catalog = 'pg_publication_rel' AND EXISTS (
        SELECT FROM pg_publication_rel AS r
        JOIN pg_publication AS p ON p.oid = r.prpubid
        JOIN pg_publication_tables AS t ON t.pubname = p.pubname
        WHERE r.oid = n.objid AND t.schemaname = current_schema() AND t.tablename = 'campaigns'
            AND coalesce(to_jsonb(t) ->> 'rowfilter', '') ~ '\m(campaign_type|status|launch_sequence)\M'
    ) AS is_filtered
FROM named AS n
ORDER BY n.description
