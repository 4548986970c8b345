-- The run that began last and has not said how it ended.
SELECT run_id, flow_name, process_id, host, started_at
FROM migration_runs
WHERE outcome = 'running'
ORDER BY started_at DESC
LIMIT 1
