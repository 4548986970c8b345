-- Campaigns that an earlier run has counted, or marked, and not filled yet.
SELECT count(*) FROM campaign_metrics_baseline
