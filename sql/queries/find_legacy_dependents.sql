-- All that depends on the legacy columns, at any depth, but for what 000035 itself drops and records: campaigns' oid.
WITH RECURSIVE legacy AS (
    SELECT a.attnum
    FROM pg_attribute AS a
    WHERE a.attrelid = $1 AND NOT a.attisdropped AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
),
walked (classid, objid, objsubid) AS (
    SELECT d.classid, d.objid, d.objsubid
    FROM pg_depend AS d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
        AND d.refobjsubid IN (SELECT l.attnum FROM legacy AS l)
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
)
SELECT DISTINCT
    coalesce(
        -- The expression of a generated column is the column.
        (
            SELECT pg_describe_object('pg_class'::regclass, x.adrelid, x.adnum)
            FROM pg_attrdef AS x
            JOIN pg_attribute AS a ON a.attrelid = x.adrelid AND a.attnum = x.adnum AND a.attgenerated <> ''
            WHERE f.classid = 'pg_attrdef'::regclass AND x.oid = f.objid
        ),
        pg_describe_object(f.classid, f.objid, f.objsubid)
    ) AS description,
    CASE WHEN f.classid = 'pg_attrdef'::regclass THEN 'pg_class' ELSE f.classid::regclass::text END AS catalog
FROM walked AS f
WHERE f.classid <> 'pg_type'::regclass
    AND NOT (f.classid = 'pg_rewrite'::regclass
        AND EXISTS (SELECT FROM pg_rewrite AS r WHERE r.oid = f.objid AND r.rulename = '_RETURN'))
    AND NOT (f.classid = 'pg_attrdef'::regclass AND EXISTS (
        SELECT FROM pg_attrdef AS x
        WHERE x.oid = f.objid AND x.adrelid = $1 AND x.adnum IN (SELECT l.attnum FROM legacy AS l)
    ))
    AND NOT (f.classid = 'pg_constraint'::regclass AND EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.oid = f.objid AND k.conrelid = $1 AND k.contype IN ('c', 'n')
            AND k.conkey <@ (SELECT array_agg(l.attnum) FROM legacy AS l)
    ))
    -- Indexes: 000035 drops the plain ones of campaigns, others go and come with their constraint or materialized view.
    AND NOT (f.classid = 'pg_class'::regclass AND EXISTS (
        SELECT FROM pg_class AS c WHERE c.oid = f.objid AND f.objsubid = 0 AND c.relkind IN ('i', 'I', 't')
    ))
    AND NOT (f.classid = 'pg_trigger'::regclass AND EXISTS (
        SELECT FROM pg_trigger AS t
        JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE t.oid = f.objid AND t.tgname = 'migration_keep_legacy_values_update'
            AND p.proname = 'migration_keep_legacy_values'
    ))
ORDER BY description
