-- The rows of every table of the sample, by its name.
SELECT 'users' AS table_name, count(*) AS row_count FROM users
UNION ALL SELECT 'campaigns', count(*) FROM campaigns
UNION ALL SELECT 'generated_domains', count(*) FROM generated_domains
UNION ALL SELECT 'campaign_jobs', count(*) FROM campaign_jobs
UNION ALL SELECT 'campaign_events', count(*) FROM campaign_events
UNION ALL SELECT 'campaign_shares', count(*) FROM campaign_shares
UNION ALL SELECT 'campaign_exports', count(*) FROM campaign_exports
UNION ALL SELECT 'lead_items', count(*) FROM lead_items
UNION ALL SELECT 'domain_tags', count(*) FROM domain_tags
UNION ALL SELECT 'keyword_extractions', count(*) FROM keyword_extractions
UNION ALL SELECT 'proxies_usage', count(*) FROM proxies_usage
ORDER BY table_name;
