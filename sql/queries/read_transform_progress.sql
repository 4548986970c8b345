-- What of the transform and the core migrations is in place already, so that its locks need not be asked for again.
SELECT
    EXISTS (SELECT FROM pg_trigger WHERE tgrelid = home.campaigns AND tgname = 'zzy_migration_sync_models')
        AND (
            SELECT count(*) = 7 FROM pg_attribute
            WHERE attrelid = home.campaigns AND NOT attisdropped
                AND attname IN ('current_phase', 'phase_status', 'progress', 'domains', 'leads', 'dns_validated_domains',
                                'http_validated_domains')
        ) AS expanded,
    EXISTS (SELECT FROM pg_trigger WHERE tgrelid = home.changes AND tgname = 'campaign_metric_changes_fold') AS measured,
    (
        SELECT count(*) = 5 FROM pg_constraint
        WHERE conrelid = home.campaigns
            AND conname IN ('campaigns_current_phase_check', 'campaigns_phase_status_check', 'campaigns_progress_check',
                            'campaigns_metrics_check', 'campaigns_phases_filled')
    ) AS checked
FROM (
    SELECT to_regclass(format('%I.campaigns', current_schema())) AS campaigns,
        to_regclass(format('%I.campaign_metric_changes', current_schema())) AS changes
) AS home
