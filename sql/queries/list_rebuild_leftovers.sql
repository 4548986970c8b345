-- What an interrupted rebuild of ours has left: invalid copies of indexes that we had begun to build anew.
SELECT
    i.indexrelid::regclass::text AS name,
    format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', n.nspname, c.relname) AS statement
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
    AND c.relname ~ '_cc(new|old)[0-9]*$'
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.relid = i.indrelid)
    AND EXISTS (
        SELECT FROM pg_index AS o
        JOIN pg_class AS r ON r.oid = o.indexrelid
        JOIN migration_saved_objects AS s ON s.kind = 'rebuilt index' AND s.identity = o.indexrelid::regclass::text
        -- A long name is cut for the copy.
        WHERE o.indrelid = i.indrelid AND starts_with(r.relname, regexp_replace(c.relname, '_cc(new|old)[0-9]*$', ''))
    )
ORDER BY 1
