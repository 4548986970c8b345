-- The run that this tool recorded last.
SELECT run_id::text, flow_name, started_at, finished_at, outcome FROM migration_runs ORDER BY started_at DESC LIMIT 1
