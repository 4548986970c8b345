-- The size of a materialized view ($1 oid), the bytes of what it reads, and how many views read it.
SELECT pg_total_relation_size($1::oid) AS bytes,
    (
        SELECT coalesce(sum(pg_table_size(s.oid)), 0)::bigint
        FROM (
            SELECT DISTINCT d.refobjid AS oid FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            WHERE r.ev_class = $1::oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> $1::oid
        ) AS s
    ) AS read_bytes
