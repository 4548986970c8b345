-- Where a database stands, from its catalog alone.
SELECT
    home.campaigns IS NOT NULL AND home.domains IS NOT NULL AS tables_there,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = home.campaigns AND attname = 'campaign_type' AND NOT attisdropped)
        AS legacy_there,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = home.campaigns AND attname = 'current_phase' AND NOT attisdropped)
        AS phases_there,
    EXISTS (SELECT FROM pg_trigger WHERE tgrelid = home.campaigns AND tgname = 'zzy_migration_sync_models') AS synced,
    EXISTS (
        SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE t.tgrelid = home.campaigns AND t.tgname = 'zzy_migration_sync_models' AND p.proname = 'migration_return_values'
    ) OR coalesce(obj_description(home.saved, 'pg_class') LIKE '%: taken back', false) AS returning,
    (
        SELECT count(*) = 4 FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid IN (home.campaigns, home.domains) AND i.indisvalid
            AND c.relname IN ('idx_campaigns_workflow_primary', 'idx_campaigns_phase_transitions',
                              'idx_campaigns_user_dashboard', 'idx_domains_campaign_validation_primary')
    ) AND to_regproc(format('%I.maintain_phases_indexes', current_schema())) IS NOT NULL AS optimized
FROM (
    SELECT to_regclass(format('%I.campaigns', current_schema())) AS campaigns,
        to_regclass(format('%I.generated_domains', current_schema())) AS domains,
        to_regclass(format('%I.migration_saved_objects', current_schema())) AS saved
) AS home
