-- Shared blocks that one serial execution of a pattern touches. $1: statement, $2: does it write, $3: inputs (json).
SELECT migration_benchmark_blocks($1, $2, $3::text::jsonb)
