-- Keeps what was measured for one pattern.
-- $1: run, $2: architecture, $3: pattern, $4: category, $5: median (ms), $6: rounds, $7: rows, $8: blocks, $9: details (json).
INSERT INTO migration_performance_results (
    run_id, architecture_type, test_name, test_category, execution_time_ms, rounds, rows_returned, blocks, details
)
VALUES ($1, $2, $3, $4, $5::double precision::numeric(14, 4), $6, $7, $8, $9::text::jsonb)
