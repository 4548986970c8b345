-- Functions in whose text a legacy column's name stands as a word; ours ($1) are left out.
SELECT p.oid::regprocedure::text AS description
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_temp%'
    AND l.lanname NOT IN ('internal', 'c')
    AND p.proname <> ALL ($1::text[])
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
    AND (p.prosrc ~ '\m(campaign_type|launch_sequence)\M' OR p.prosrc ~ '\mcampaigns\M' AND p.prosrc ~ '\mstatus\M')
ORDER BY description
