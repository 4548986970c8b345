-- A run has ended. One that was taken for dead meanwhile stays what its successor said of it, one that waits goes on waiting.
UPDATE migration_runs SET finished_at = clock_timestamp(), outcome = $2
WHERE run_id = $1 AND outcome <> 'interrupted' AND NOT (outcome = 'awaiting_approval' AND $2 = 'completed')
