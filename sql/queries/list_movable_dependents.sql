-- The recorded readers of the legacy columns that can go back to them one by one while both models live.
SELECT id, kind, identity, create_statement FROM migration_saved_objects
WHERE kind IN ('view', 'materialized view', 'function') AND position BETWEEN 600 AND 699
ORDER BY position, id
