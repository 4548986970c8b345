-- The plan of a pattern, as it is timed. $1: statement, $2: inputs (json).
SELECT migration_benchmark_plan($1, $2::text::jsonb)
