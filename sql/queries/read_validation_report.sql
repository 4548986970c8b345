-- The checks that one run of validate-migration.sql recorded.
SELECT suite, test_name, status, total_records, valid_records, invalid_records, success_rate, execution_time_ms, details, query
FROM migration_validation_report
WHERE run_id = $1
