-- Publications that carry tables ($1 oids).
SELECT p.pubname AS publication, string_agg(p.tablename, ', ' ORDER BY p.tablename) AS tables
FROM pg_publication_tables AS p
JOIN pg_namespace AS n ON n.nspname = p.schemaname
JOIN pg_class AS c ON c.relname = p.tablename AND c.relnamespace = n.oid
WHERE c.oid = ANY ($1::oid[])
GROUP BY p.pubname
ORDER BY p.pubname
