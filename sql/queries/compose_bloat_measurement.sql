-- Writes the statement that measures the b-trees of the core tables with pgstattuple; NULL where this role cannot use that.
-- It reads each index once, under the lock that a SELECT takes.
SELECT format(
    $statement$
SELECT i.indexrelid::regclass::text AS index_name, s.index_size AS bytes,
    -- Leaves filled as far as they are to be are no bloat; empty and deleted pages are.
    greatest(0, s.index_size - current_setting('block_size')::bigint
        * ceil(1 + s.internal_pages + s.leaf_pages * least(1, nullif(s.avg_leaf_density, 'NaN') / f.fill)))::bigint AS bloat_bytes,
    format('REINDEX INDEX CONCURRENTLY %%I.%%I', n.nspname, c.relname) AS remedy
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS m ON m.oid = c.relam
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT o.option_value::float8 FROM pg_options_to_table(c.reloptions) AS o WHERE o.option_name = 'fillfactor'), 90) AS fill
) AS f
CROSS JOIN LATERAL %1$I.pgstatindex(i.indexrelid::regclass) AS s
WHERE c.relkind = 'i' AND m.amname = 'btree' AND i.indisvalid AND s.leaf_pages > 0 AND i.indrelid IN (
    SELECT to_regclass(t.name)::oid FROM unnest(%2$L::text[]) AS t (name)
    UNION
    SELECT p.relid::oid FROM unnest(%2$L::text[]) AS t (name) CROSS JOIN LATERAL pg_partition_tree(to_regclass(t.name)) AS p
)
ORDER BY 1
    $statement$,
    n.nspname, ARRAY[format('%I.campaigns', current_schema()), format('%I.generated_domains', current_schema())]
)
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pgstattuple'
    AND has_schema_privilege(n.oid, 'USAGE')
    AND has_function_privilege(to_regprocedure(format('%I.pgstatindex(regclass)', n.nspname)), 'EXECUTE')
