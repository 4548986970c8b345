-- Which architecture is there, and what do the benchmark patterns ask about? $1: seed.
SELECT migration_benchmark_architecture() AS architecture_type, migration_benchmark_inputs($1::integer)::text AS inputs
