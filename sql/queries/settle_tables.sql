-- Fresh statistics and visibility maps, so that before and after are measured in the same state of maintenance.
VACUUM (ANALYZE) campaigns, generated_domains
