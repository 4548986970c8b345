-- Whether the copy of campaigns from before the migration is there.
SELECT to_regclass(format('%I.campaigns_pre_migration_backup', current_schema())) IS NOT NULL
