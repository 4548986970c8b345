-- What of a new definition still reads legacy columns of campaigns ($1 oid): of a view ($2 oid, or NULL) or of functions in the
-- session's own temporary schema. Such as through a function that returns rows of campaigns.
SELECT DISTINCT a.attname::text
FROM pg_depend AS d
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
    AND (
        (d.classid = 'pg_rewrite'::regclass AND EXISTS (SELECT FROM pg_rewrite AS r WHERE r.oid = d.objid AND r.ev_class = $2))
        OR (d.classid = 'pg_proc'::regclass
            AND EXISTS (SELECT FROM pg_proc AS p WHERE p.oid = d.objid AND p.pronamespace = pg_my_temp_schema()))
    )
ORDER BY 1
