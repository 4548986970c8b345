-- Vacuums against transaction id wraparound at work on tables ($1 oids): these do not give way to a lock request.
SELECT v.relid::regclass::text AS table_name, v.pid
FROM pg_stat_progress_vacuum AS v
JOIN pg_stat_activity AS a ON a.pid = v.pid
WHERE v.relid = ANY ($1::oid[]) AND v.datname = current_database() AND a.query LIKE '%to prevent wraparound%'
