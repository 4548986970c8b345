-- What became of a run that awaited approval; no row if it did not wait any more.
WITH waiting AS (
    UPDATE migration_runs SET outcome = $2 WHERE run_id = $1 AND outcome = 'awaiting_approval' RETURNING run_id
)
UPDATE migration_approvals AS a
SET decision = $2, decided_by = $3, decided_at = clock_timestamp(), reason = $4
FROM waiting
WHERE a.run_id = waiting.run_id
RETURNING a.run_id
