-- A question whose plan shows whether the table's validated constraints imply the predicate of an index ($1): then no row can fail it.
SELECT format('EXPLAIN (COSTS OFF) SELECT FROM %s WHERE NOT (%s)', i.indrelid::regclass, pg_get_expr(i.indpred, i.indrelid))
FROM pg_index AS i
WHERE i.indexrelid = $1
