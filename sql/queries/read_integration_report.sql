-- The tests that one run of integration-test.sql recorded.
SELECT test_suite, test_name, status, execution_time_ms, details
FROM migration_integration_test_report
WHERE run_id = $1
