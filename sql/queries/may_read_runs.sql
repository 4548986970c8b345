-- Whether this role may read the book of runs, if there is one.
SELECT coalesce(has_table_privilege(to_regclass(format('%I.migration_runs', current_schema())), 'SELECT'), false)
