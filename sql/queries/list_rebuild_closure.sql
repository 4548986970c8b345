-- Everything that goes with DROP TABLE campaigns CASCADE, and whether its definition brings it back whole.
WITH RECURSIVE gone (classid, objid, objsubid) AS (
    SELECT 'pg_class'::regclass::oid, to_regclass(format('%I.campaigns', current_schema()))::oid, 0
    UNION
    SELECT n.classid, n.objid, n.objsubid
    FROM gone AS g
    CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid FROM pg_depend AS d
        WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)
        UNION ALL
        -- What is a part of something cannot go without it: a rule of a view.
        SELECT d.refclassid, d.refobjid, d.refobjsubid FROM pg_depend AS d
        WHERE d.classid = g.classid AND d.objid = g.objid AND d.objsubid = g.objsubid AND d.deptype = 'i'
    ) AS n
)
SELECT DISTINCT ON (g.classid, g.objid, g.objsubid)
    g.classid::bigint AS class_oid, g.objid::bigint AS object_oid, g.objsubid AS sub_id, c.relkind::text AS relkind,
    pg_describe_object(g.classid, g.objid, g.objsubid) AS description,
    CASE
        WHEN g.classid = 'pg_class'::regclass AND c.oid = campaigns.oid THEN NULL
        WHEN g.classid = 'pg_class'::regclass AND g.objsubid > 0 THEN 'its rows would be lost with the column'
        WHEN g.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'f') THEN 'its rows would be lost with it'
        WHEN g.classid = 'pg_class'::regclass AND c.relkind = 'm' AND NOT c.relispopulated THEN NULL
        WHEN g.classid = 'pg_class'::regclass AND c.relkind NOT IN ('v', 'm', 'i', 'I', 'S', 't') THEN 'it cannot be built again'
        WHEN g.classid NOT IN (
            'pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_rewrite'::regclass,
            'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_type'::regclass, 'pg_statistic_ext'::regclass,
            'pg_publication_rel'::regclass, 'pg_proc'::regclass
        ) THEN 'it cannot be built again'
        WHEN g.classid = 'pg_type'::regclass AND t.typrelid = 0 AND t.typelem = 0 THEN 'it is a type of its own'
        WHEN e.objid IS NOT NULL THEN 'it belongs to an extension'
    END AS problem
FROM gone AS g
CROSS JOIN (SELECT to_regclass(format('%I.campaigns', current_schema()))::oid AS oid) AS campaigns
LEFT JOIN pg_class AS c ON g.classid = 'pg_class'::regclass AND c.oid = g.objid
LEFT JOIN pg_type AS t ON g.classid = 'pg_type'::regclass AND t.oid = g.objid
LEFT JOIN pg_depend AS e ON e.classid = g.classid AND e.objid = g.objid AND e.deptype = 'e'
UNION ALL
SELECT 'pg_subscription'::regclass::oid::bigint, s.srsubid::bigint, 0, NULL, 'subscription ' || s.srsubid,
    'it writes into campaigns, and would lose its place'
FROM pg_subscription_rel AS s WHERE s.srrelid = to_regclass(format('%I.campaigns', current_schema()))
UNION ALL
SELECT 'pg_class'::regclass::oid::bigint, c.oid::bigint, 0, c.relkind::text, 'table campaigns',
    'it is part of an inheritance tree or a partitioned table, of a type, or temporary'
FROM pg_class AS c
WHERE c.oid = to_regclass(format('%I.campaigns', current_schema()))
    AND (c.relkind <> 'r' OR c.relispartition OR c.relpersistence <> 'p' OR c.reloftype <> 0
         OR EXISTS (SELECT FROM pg_inherits AS i WHERE c.oid IN (i.inhrelid, i.inhparent)))
