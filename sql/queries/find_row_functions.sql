-- Functions with an SQL-standard body that name columns of campaigns ($1 oid) and return its rows.
SELECT p.oid::regprocedure::text AS identity, pg_get_functiondef(p.oid) AS definition
FROM pg_proc AS p
JOIN pg_class AS c ON c.oid = $1 AND c.reltype = p.prorettype
WHERE p.prosqlbody IS NOT NULL
ORDER BY 1
