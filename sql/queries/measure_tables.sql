-- The sizes that a plan's expectations come from: bytes with all partitions, rows by the statistics where they are known.
WITH home AS (
    SELECT to_regclass(format('%I.campaigns', current_schema())) AS campaigns,
        to_regclass(format('%I.generated_domains', current_schema())) AS domains
),
parts AS (
    SELECT 'campaigns' AS name, h.campaigns AS oid FROM home AS h
    UNION ALL
    SELECT 'domains', h.domains FROM home AS h
    UNION ALL
    SELECT 'domains', p.relid FROM home AS h CROSS JOIN LATERAL pg_partition_tree(h.domains) AS p WHERE p.relid <> h.domains
)
SELECT
    sum(pg_relation_size(c.oid)) FILTER (WHERE p.name = 'campaigns')::bigint AS campaigns_bytes,
    sum(pg_total_relation_size(c.oid)) FILTER (WHERE p.name = 'campaigns')::bigint AS campaigns_whole_bytes,
    (SELECT count(*) FROM campaigns) AS campaigns_rows,
    (SELECT count(*) FROM home AS h JOIN pg_index AS i ON i.indrelid = h.campaigns) AS campaigns_indexes,
    sum(pg_relation_size(c.oid)) FILTER (WHERE p.name = 'domains')::bigint AS domains_bytes,
    sum(pg_total_relation_size(c.oid)) FILTER (WHERE p.name = 'domains')::bigint AS domains_whole_bytes,
    -- What a partitioned table itself says is the sum of its partitions, or nothing.
    (sum(greatest(c.reltuples, 0)) FILTER (WHERE p.name = 'domains' AND c.relkind <> 'p'))::bigint AS domains_rows,
    (
        SELECT coalesce(sum(pg_table_size(d.oid)), 0)::bigint FROM pg_class AS d JOIN pg_namespace AS n ON n.oid = d.relnamespace
        WHERE d.relkind IN ('r', 'm') AND d.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
    ) AS database_bytes
FROM parts AS p
JOIN pg_class AS c ON c.oid = p.oid
