-- Functions of a schema ($1) that bear one of these names ($2), with their bodies.
SELECT p.proname AS name, p.oid::regprocedure::text AS description, p.prosrc AS body
FROM pg_proc AS p
WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = $1) AND p.proname = ANY ($2::text[])
ORDER BY description
