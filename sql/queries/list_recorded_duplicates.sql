-- The superfluous indexes and foreign keys that were dropped, or were about to be, and how each stands now.
SELECT s.kind, s.identity, s.definition, s.create_statement, s.options,
    coalesce(x.indexrelid, k.oid) IS NOT NULL AS is_there,
    coalesce(x.indisvalid AND x.indisready AND x.indislive, k.convalidated, false) AS is_valid,
    format('DROP INDEX CONCURRENTLY %I', s.identity) AS drop_concurrently,
    replace(s.drop_statement, ' DROP CONSTRAINT ', ' VALIDATE CONSTRAINT ') AS validate_statement
FROM migration_saved_objects AS s
LEFT JOIN pg_index AS x
    ON s.kind = 'duplicate index' AND x.indexrelid = to_regclass(format('%I.%I', current_schema(), s.identity))
LEFT JOIN (
    SELECT c.oid, c.convalidated, format('%I.%I.%I', n.nspname, t.relname, c.conname) AS identity
    FROM pg_constraint AS c
    JOIN pg_class AS t ON t.oid = c.conrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE c.contype = 'f'
) AS k ON s.kind = 'duplicate foreign key' AND k.identity = s.identity
WHERE s.kind IN ('duplicate index', 'duplicate foreign key')
ORDER BY s.position, s.id
