-- A superfluous index ($1), with all that brings it back as it is: definition, tablespace, statistics targets, comment.
INSERT INTO migration_saved_objects AS kept (position, kind, identity, definition, options, drop_statement, create_statement)
SELECT s.position, s.kind, s.identity, s.definition, s.options, s.drop_statement, s.create_statement
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_tablespace AS p ON p.oid = c.reltablespace
CROSS JOIN LATERAL (
    SELECT 650 AS position, 'duplicate index' AS kind, c.relname::text AS identity, pg_get_indexdef(i.indexrelid) AS definition,
        CASE WHEN p.oid IS NOT NULL THEN ARRAY[p.spcname::text] END AS options,
        format('DROP INDEX %I', c.relname) AS drop_statement, pg_get_indexdef(i.indexrelid) AS create_statement
    UNION ALL
    SELECT 651, 'duplicate index tablespace', c.relname, p.spcname, NULL, NULL,
        format('ALTER INDEX %I SET TABLESPACE %I', c.relname, p.spcname)
    WHERE p.oid IS NOT NULL
    UNION ALL
    SELECT 652, 'duplicate index statistics', format('%s.%s', c.relname, a.attnum), NULL, NULL, NULL,
        format('ALTER INDEX %I ALTER COLUMN %s SET STATISTICS %s', c.relname, a.attnum, a.attstattarget)
    FROM pg_attribute AS a
    WHERE a.attrelid = i.indexrelid AND coalesce(a.attstattarget, -1) >= 0
    UNION ALL
    SELECT 653, 'duplicate index comment', c.relname, NULL, NULL, NULL,
        format('COMMENT ON INDEX %I IS %L', c.relname, obj_description(i.indexrelid, 'pg_class'))
    WHERE obj_description(i.indexrelid, 'pg_class') IS NOT NULL
) AS s
WHERE i.indexrelid = $1
ON CONFLICT (kind, identity) DO UPDATE
SET definition = excluded.definition, options = excluded.options, create_statement = excluded.create_statement
