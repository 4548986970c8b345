-- The benchmark patterns, in order, with both of their forms.
SELECT position, test_name, test_category, legacy_query, phases_query, writes, note
FROM migration_benchmark_patterns()
ORDER BY position
