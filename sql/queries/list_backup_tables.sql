-- The backup tables that this tool left in the schema, with their rows and sizes.
SELECT c.relname::text AS name, format('DROP TABLE %I', c.relname) AS drop_statement, pg_total_relation_size(c.oid) AS bytes
FROM pg_class AS c
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind = 'r'
    AND (c.relname IN ('campaigns_backup_000035', 'campaigns_pre_migration_backup') OR c.relname LIKE 'campaigns\_pre\_rollback\_backup%')
    AND obj_description(c.oid, 'pg_class') LIKE 'phases migration: %'
ORDER BY c.relname
