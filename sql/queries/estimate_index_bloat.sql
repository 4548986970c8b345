-- How much of each b-tree of the core tables is air, estimated from statistics: what its rows would take in full pages beside what it takes.
-- Duplicates that share one entry (PostgreSQL 13 and later) make an index smaller than estimated here: bloat is then found late.
WITH core AS (
    SELECT p.relid::oid AS oid
    FROM (VALUES ('campaigns'), ('generated_domains')) AS t (name)
    CROSS JOIN LATERAL pg_partition_tree(to_regclass(format('%I.%I', current_schema(), t.name))) AS p
    UNION
    SELECT to_regclass(format('%I.%I', current_schema(), t.name))::oid
    FROM (VALUES ('campaigns'), ('generated_domains')) AS t (name)
), wide AS (
    SELECT
        i.indexrelid,
        -- Width and share of NULLs of each column, an expression's from the statistics of the index itself.
        sum(coalesce(own.stawidth, base.stawidth) * (1 - coalesce(own.stanullfrac, base.stanullfrac))) AS data_bytes,
        bool_or(coalesce(own.stanullfrac, base.stanullfrac) > 0) AS has_nulls,
        bool_and(own.starelid IS NOT NULL OR base.starelid IS NOT NULL) AS is_known
    FROM pg_index AS i
    JOIN core ON core.oid = i.indrelid
    CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
    LEFT JOIN LATERAL (
        SELECT s.attname, s.avg_width AS stawidth, s.null_frac AS stanullfrac, a.attrelid AS starelid
        FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_stats AS s ON s.schemaname = c.relnamespace::regnamespace::name AND s.tablename = c.relname AND s.attname = a.attname
        WHERE a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 AND NOT s.inherited
    ) AS base ON true
    LEFT JOIN LATERAL (
        SELECT s.attname, s.avg_width AS stawidth, s.null_frac AS stanullfrac, a.attrelid AS starelid
        FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_stats AS s ON s.schemaname = c.relnamespace::regnamespace::name AND s.tablename = c.relname AND s.attname = a.attname
        WHERE a.attrelid = i.indexrelid AND a.attnum = k.place AND k.attnum = 0
    ) AS own ON true
    GROUP BY i.indexrelid
), sized AS (
    SELECT
        c.oid, c.reltuples, pg_relation_size(c.oid) AS bytes, w.is_known,
        current_setting('block_size')::numeric AS block,
        coalesce((SELECT o.option_value::numeric FROM pg_options_to_table(c.reloptions) AS o WHERE o.option_name = 'fillfactor'), 90) AS fill,
        -- An entry: its place in the page (4), its header (8, and 8 for NULLs), its columns, rounded up to 8.
        4 + 8 + CASE WHEN w.has_nulls THEN 8 ELSE 0 END + ceil(w.data_bytes / 8.0) * 8 AS entry
    FROM pg_class AS c
    JOIN wide AS w ON w.indexrelid = c.oid
    JOIN pg_am AS m ON m.oid = c.relam
    WHERE c.relkind = 'i' AND m.amname = 'btree' AND c.reltuples > 0
)
SELECT
    s.oid::regclass::text AS index_name,
    s.bytes,
    -- A page's header takes 24 bytes, the end of a b-tree's page 16; one page describes the tree, one in a hundred leads to leaves.
    greatest(
        0,
        s.bytes - s.block * (1 + ceil(1.01 * s.reltuples / greatest(1, floor((s.block - 40) * s.fill / 100 / s.entry))))
    )::bigint AS bloat_bytes,
    format('REINDEX INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) AS remedy
FROM sized AS s
JOIN pg_class AS c ON c.oid = s.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE s.is_known
ORDER BY 1
