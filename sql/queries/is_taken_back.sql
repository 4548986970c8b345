-- Whether the legacy model is in place again, and only what is left of this migration is to be tidied up.
SELECT coalesce(obj_description(to_regclass(format('%I.migration_saved_objects', current_schema())), 'pg_class')
                LIKE '%: taken back', false)
