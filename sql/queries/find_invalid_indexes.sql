-- Indexes of tables ($1 oids) that take writes and serve no query.
SELECT c.oid::bigint AS oid, c.relname AS name, c.oid::regclass::text AS description
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY ($1::oid[]) AND NOT (i.indisvalid AND i.indisready AND i.indislive)
ORDER BY c.relname
