-- Event triggers that what this migration does to tables, views and indexes sets off.
SELECT e.evtname::text AS name, e.evtevent::text AS event, e.evtfoid::regprocedure::text AS function
FROM pg_event_trigger AS e
WHERE e.evtenabled IN ('O', 'A') AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
ORDER BY 1
