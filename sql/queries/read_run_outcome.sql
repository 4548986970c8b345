-- How a run ended, or whether it goes on; no row for a run that was never written down.
SELECT outcome FROM migration_runs WHERE run_id = $1
