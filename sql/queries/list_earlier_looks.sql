-- The calls of each statement at the newest look that is at least $1 hours old.
SELECT DISTINCT ON (userid, queryid) userid, queryid, calls
FROM migration_statement_looks
WHERE looked_at <= clock_timestamp() - $1::double precision * interval '1 hour'
ORDER BY userid, queryid, looked_at DESC
