-- Every index of the two core tables, with what decides whether another one makes it superfluous. Indexes in $1 will be called as in $2.
SELECT
    i.indexrelid::bigint AS oid,
    coalesce(($2::text[])[array_position($1::text[], c.relname::text)], c.relname) AS name,
    t.relname AS table_name,
    m.amname AS method,
    i.indisvalid AND i.indisready AND i.indislive AS is_valid,
    ARRAY(
        SELECT concat_ws(' ', pg_get_indexdef(i.indexrelid, n, false), i.indclass[n - 1], i.indcollation[n - 1], i.indoption[n - 1])
        FROM generate_series(1, i.indnkeyatts) AS n ORDER BY n
    ) AS keys,
    ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, false) FROM generate_series(1, i.indnatts) AS n ORDER BY n) AS columns,
    i.indnkeyatts::integer AS key_count,
    pg_get_expr(i.indpred, i.indrelid) AS predicate,
    -- A row whose predicate is NULL is not in the index: only columns that cannot be NULL let a check decide.
    NOT EXISTS (
        SELECT FROM regexp_matches(i.indpred::text, ':varattno (\d+)', 'g') AS v (found)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = v.found[1]::smallint
        WHERE NOT a.attnotnull OR EXISTS (
            SELECT FROM pg_constraint AS k
            WHERE k.conrelid = i.indrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated
        )
    ) AS predicate_is_never_null,
    EXISTS (
        SELECT FROM pg_depend AS d
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass
            AND t.relname = 'campaigns' AND d.refobjid = i.indrelid
            AND (a.attname IN ('campaign_type', 'status', 'launch_sequence') OR a.attname LIKE '%\_before\_000035')
    ) AS goes_with_legacy,
    c.relkind = 'i' AND t.relkind = 'r' AND NOT c.relispartition
        AND NOT (i.indisunique OR i.indisexclusion OR i.indisreplident OR i.indisclustered)
        AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
        -- Nothing stands on it, and it belongs to no extension.
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indexrelid)
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.deptype IN ('e', 'x')
        )
        AND coalesce(obj_description(i.indexrelid, 'pg_class'), '') NOT LIKE 'phases migration: %'
        AND pg_has_role(t.relowner, 'USAGE') AND has_table_privilege(t.oid, 'SELECT') AS is_droppable,
    pg_relation_size(i.indexrelid) AS bytes,
    coalesce(s.idx_scan, 0) AS scans,
    (SELECT b.stats_reset FROM pg_stat_database AS b WHERE b.datname = current_database()) AS counted_since
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_am AS m ON m.oid = c.relam
LEFT JOIN pg_stat_all_indexes AS s ON s.indexrelid = i.indexrelid
WHERE i.indrelid IN (
    to_regclass(format('%I.campaigns', current_schema())), to_regclass(format('%I.generated_domains', current_schema()))
)
ORDER BY i.indexrelid
