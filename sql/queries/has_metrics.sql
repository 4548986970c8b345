-- Whether this migration keeps metrics here.
SELECT to_regclass(format('%I.campaign_metrics_baseline', current_schema())) IS NOT NULL
