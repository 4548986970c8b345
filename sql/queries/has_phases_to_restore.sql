-- Whether phases columns that were there before the migration have rows without their former values.
SELECT to_regclass(format('%I.migration_phases_to_restore', current_schema())) IS NOT NULL
