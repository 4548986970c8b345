-- What an interrupted rebuild of ours has left: invalid copies of indexes that we had begun to build anew.
SELECT
    c.oid::bigint AS oid,
    format('%I.%I', n.nspname, c.relname) AS name,
    format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', n.nspname, c.relname) AS statement
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '') AS stem) AS copied
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
    AND c.relname ~ '_cc(new|old)[0-9]*$'
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.relid = i.indrelid)
    AND EXISTS (
        SELECT FROM pg_index AS o
        JOIN pg_class AS r ON r.oid = o.indexrelid
        JOIN migration_saved_objects AS s
            ON s.kind = 'rebuilt index' AND s.identity = format('%I.%I', n.nspname, r.relname)
        -- A copy of a long name is called after its beginning: 63 bytes, or a character less.
        WHERE o.indrelid = i.indrelid
            AND (r.relname = copied.stem OR octet_length(c.relname) >= 60 AND starts_with(r.relname, copied.stem))
    )
ORDER BY name
