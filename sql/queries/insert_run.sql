-- A run begins.
INSERT INTO migration_runs (run_id, flow_name, parameters, host, process_id, sql_files)
VALUES ($1, $2, $3, $4, $5, $6)
