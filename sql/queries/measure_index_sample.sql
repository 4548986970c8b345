-- The size of an index ($1 schema, $2 name) that was built on a sample, and the rows that it was built over.
SELECT pg_relation_size(i.indexrelid) AS bytes, (SELECT greatest(c.reltuples, 0)::bigint FROM pg_class AS c WHERE c.oid = i.indrelid) AS rows
FROM pg_index AS i
WHERE i.indexrelid = to_regclass(format('%I.%I', $1::text, $2::text))
