-- The columns of campaigns in their order now, and in the order that the backup of the migration remembers; later ones follow.
SELECT c.attname AS name, c.attgenerated <> '' AS is_generated,
    coalesce(b.attnum, 10000 + c.attnum)::integer AS wanted
FROM pg_attribute AS c
LEFT JOIN pg_attribute AS b
    ON b.attrelid = to_regclass(format('%I.campaigns_pre_migration_backup', current_schema()))
    AND b.attname = c.attname AND NOT b.attisdropped
WHERE c.attrelid = to_regclass(format('%I.campaigns', current_schema())) AND c.attnum > 0 AND NOT c.attisdropped
ORDER BY c.attnum
