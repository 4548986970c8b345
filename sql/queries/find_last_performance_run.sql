-- What the last complete benchmark run of one architecture measured in this database, one row per pattern.
-- $1: architecture.
SELECT
    r.run_id, r.measured_at, r.test_name, r.test_category, r.blocks, r.rows_returned, r.rounds, r.details::text AS details
FROM migration_performance_results AS r
WHERE r.run_id = (
    SELECT run_id FROM migration_performance_results
    WHERE architecture_type = $1 AND details ->> 'method' = 'client' AND details ->> 'database' = current_database()
    ORDER BY id DESC LIMIT 1
)
    AND r.architecture_type = $1
ORDER BY (r.details ->> 'position')::int, r.id
