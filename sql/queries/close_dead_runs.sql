-- Runs that never said how they ended: we hold the lock that each of them held while it lived.
UPDATE migration_runs SET finished_at = clock_timestamp(), outcome = 'interrupted' WHERE outcome = 'running' AND run_id <> $1
