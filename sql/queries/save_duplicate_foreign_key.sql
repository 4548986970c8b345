-- A superfluous foreign key ($1), with all that brings it back as it is: definition, whether it was validated, comment.
INSERT INTO migration_saved_objects AS kept (position, kind, identity, definition, options, drop_statement, create_statement)
SELECT s.position, s.kind, s.identity, s.definition, s.options, s.drop_statement, s.create_statement
FROM pg_constraint AS k
JOIN pg_class AS t ON t.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
CROSS JOIN LATERAL (
    SELECT 650 AS position, 'duplicate foreign key' AS kind, format('%I.%I.%I', n.nspname, t.relname, k.conname) AS identity,
        pg_get_constraintdef(k.oid) AS definition,
        ARRAY(
            SELECT core.name
            FROM (VALUES ('generated_domains'), ('campaigns')) AS core (name)
            WHERE to_regclass(format('%I.%I', current_schema(), core.name)) IN (k.conrelid, k.confrelid)
        ) AS options,
        format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, t.relname, k.conname) AS drop_statement,
        format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, t.relname, k.conname, pg_get_constraintdef(k.oid))
            AS create_statement
    UNION ALL
    SELECT 653, 'duplicate foreign key comment', format('%I.%I.%I', n.nspname, t.relname, k.conname), NULL, NULL, NULL,
        format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, n.nspname, t.relname, obj_description(k.oid, 'pg_constraint'))
    WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL
) AS s
WHERE k.oid = $1
ON CONFLICT (kind, identity) DO UPDATE
SET definition = excluded.definition, options = excluded.options, create_statement = excluded.create_statement
