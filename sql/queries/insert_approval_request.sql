-- A run asks for approval: its own row says so, too. $3: hours until it is too late.
WITH asking AS (
    UPDATE migration_runs SET outcome = 'awaiting_approval' WHERE run_id = $1
)
INSERT INTO migration_approvals (run_id, flow_run_id, deadline, backup_directory)
VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 hour', $4)
RETURNING deadline
