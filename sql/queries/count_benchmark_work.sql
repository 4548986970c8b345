-- What one serial execution of a pattern does, in counts (json). $1: statement, $2: does it write, $3: inputs (json).
SELECT migration_benchmark_work($1, $2, $3::text::jsonb)::text
