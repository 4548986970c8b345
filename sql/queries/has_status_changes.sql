-- Whether this migration has a list of domain statuses that it took from results.
SELECT coalesce(
    obj_description(to_regclass(format('%I.migration_domain_status_changes', current_schema())), 'pg_class')
    LIKE 'phases migration: %', false)
