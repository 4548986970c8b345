-- A mapping of a legacy value that the fixed mapping does not know.
INSERT INTO migration_custom_mappings (target, source_is_null, source_value, target_value)
VALUES ($1, $2, $3, $4)
ON CONFLICT (target, source_is_null, source_value) DO UPDATE SET target_value = excluded.target_value
