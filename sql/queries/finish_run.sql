-- A run has ended; whoever died without saying so is closed by the next one.
UPDATE migration_runs SET finished_at = clock_timestamp(), outcome = $2 WHERE run_id = $1
