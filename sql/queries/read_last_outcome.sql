-- How the last run of a flow that changed something ended.
SELECT outcome FROM migration_runs WHERE flow_name = ANY ($1::text[]) ORDER BY started_at DESC LIMIT 1
