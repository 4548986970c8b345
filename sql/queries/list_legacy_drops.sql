-- What 000035 runs to take the legacy columns away, in its order, and the bytes that each sets free.
SELECT s.drop_statement, coalesce(pg_relation_size(i.oid), 0) AS bytes
FROM migration_saved_objects AS s
LEFT JOIN pg_class AS i ON s.kind = 'index' AND i.oid = to_regclass(format('%I.%I', current_schema(), s.identity))
WHERE s.position BETWEEN 100 AND 599 AND s.drop_statement IS NOT NULL
ORDER BY s.position DESC, s.id
