-- Whether a migration has begun here: then there is a record of what it changed.
SELECT to_regclass(format('%I.migration_saved_objects', current_schema())) IS NOT NULL
