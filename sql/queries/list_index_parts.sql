-- The parts of an index ($1) over a partitioned table: one for each table of its tree, the deepest first, the root last; what is
-- there of each. The names of parts follow from those of their partitions. No rows where the table is not partitioned.
WITH wanted AS (
    SELECT w.index_name, w.definition, w.purpose, w.table_name,
        to_regclass(format('%I.%I', current_schema(), w.table_name)) AS root
    FROM phases_index_definitions() AS w WHERE w.index_name = $1
),
tree AS (
    SELECT w.*, p.relid, p.parentrelid, p.isleaf, p.level, c.relkind, n.nspname AS schema_name, c.relname,
        CASE WHEN p.relid = w.root THEN w.index_name ELSE s.name END AS part_name
    FROM wanted AS w
    CROSS JOIN LATERAL pg_partition_tree(w.root) AS p
    JOIN pg_class AS c ON c.oid = p.relid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT c.relname || '_' || regexp_replace(w.index_name, '^idx_(domains|campaigns)_', '') AS full_name) AS f
    -- A name may have 63 bytes.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN octet_length(f.full_name) <= 63 THEN f.full_name
            ELSE left(f.full_name, least(54, 54 - octet_length(f.full_name) + length(f.full_name))) || '_' || left(md5(f.full_name), 8)
            END AS name
    ) AS s
)
SELECT t.level, t.isleaf AS is_leaf, t.relid = t.root AS is_root, t.relkind = 'f' AS is_foreign,
    format('%I.%I', t.schema_name, t.relname) AS table_name,
    format('%I.%I', t.schema_name, t.part_name) AS part,
    i.indexrelid IS NOT NULL AS present,
    coalesce(i.indisvalid AND i.indisready AND i.indislive, false) AS valid,
    h.inhrelid IS NOT NULL AS attached,
    coalesce(i.indrelid = t.relid AND split_part(regexp_replace(pg_get_indexdef(i.indexrelid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'), ' USING ', 2)
        = split_part(t.definition, ' USING ', 2),
        x.oid IS NULL) AS same,
    CASE WHEN i.indexrelid IS NULL THEN 'no index' ELSE pg_get_indexdef(i.indexrelid) END AS found,
    format('CREATE INDEX %I ON %s%I.%I USING %s', t.part_name, CASE WHEN t.isleaf THEN '' ELSE 'ONLY ' END,
        t.schema_name, t.relname, replace(split_part(t.definition, ' USING ', 2), '(0)::numeric', '0')) AS statement,
    format('COMMENT ON INDEX %I.%I IS %L', t.schema_name, t.part_name, t.purpose) AS remark,
    format('DROP INDEX CONCURRENTLY %I.%I', t.schema_name, t.part_name) AS removal,
    format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', u.schema_name, u.part_name, t.schema_name, t.part_name) AS attachment
FROM tree AS t
-- The root stands for its own parent; it is attached to nothing.
JOIN tree AS u ON u.relid = CASE WHEN t.relid = t.root THEN t.relid ELSE t.parentrelid END
LEFT JOIN pg_class AS x ON x.oid = to_regclass(format('%I.%I', t.schema_name, t.part_name))
LEFT JOIN pg_index AS i ON i.indexrelid = x.oid
LEFT JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
    AND h.inhparent = to_regclass(format('%I.%I', u.schema_name, u.part_name))
ORDER BY t.level DESC, t.schema_name, t.relname
