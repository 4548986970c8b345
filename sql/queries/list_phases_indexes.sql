-- Indexes of 000036 that may go with writers at work, ahead of its down: those that bear its mark or are recorded as added.
SELECT c.relname::text AS name, format('DROP INDEX CONCURRENTLY %I.%I', current_schema(), c.relname) AS drop_statement
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid IN (
        to_regclass(format('%I.campaigns', current_schema())), to_regclass(format('%I.generated_domains', current_schema()))
    )
    AND c.relkind = 'i' AND NOT c.relispartition
    AND (
        obj_description(c.oid, 'pg_class') LIKE 'phases migration: %'
        OR EXISTS (SELECT FROM migration_saved_objects AS s WHERE s.kind = 'added index' AND s.identity = c.relname)
    )
ORDER BY c.relname
