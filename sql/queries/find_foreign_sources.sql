-- Foreign tables that materialized views ($1 oids) read, directly or through views.
WITH RECURSIVE reads (view, oid) AS (
    SELECT m.oid, m.oid FROM unnest($1::oid[]) AS m (oid)
    UNION
    SELECT x.view, d.refobjid
    FROM reads AS x
    JOIN pg_rewrite AS r ON r.ev_class = x.oid
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind IN ('v', 'f')
)
SELECT x.view::regclass::text AS view, string_agg(DISTINCT f.ftrelid::regclass::text, ', ') AS tables,
    string_agg(DISTINCT s.srvname::text, ', ') AS servers
FROM reads AS x
JOIN pg_foreign_table AS f ON f.ftrelid = x.oid
JOIN pg_foreign_server AS s ON s.oid = f.ftserver
GROUP BY 1
ORDER BY 1
