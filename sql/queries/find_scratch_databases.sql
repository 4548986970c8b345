-- Scratch databases that an interrupted restore check of this database left behind.
SELECT d.datname::text
FROM pg_database AS d
WHERE d.datname LIKE '%\_restore\_check\_%'
    AND shobj_description(d.oid, 'pg_database') = 'phases migration: restore check of ' || current_database()
ORDER BY d.datname
