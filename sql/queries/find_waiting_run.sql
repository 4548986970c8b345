-- The run that awaits approval, if one does; `open` until its deadline.
SELECT
    r.run_id::text, r.flow_name, a.flow_run_id::text, a.asked_at, a.deadline, a.deadline > clock_timestamp() AS open,
    a.backup_directory
FROM migration_runs AS r
INNER JOIN migration_approvals AS a ON r.run_id = a.run_id
WHERE r.outcome = 'awaiting_approval'
ORDER BY a.asked_at DESC
LIMIT 1
