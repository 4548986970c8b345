-- Transactions in this database that have been open for longer than $1 seconds: index builds wait for them.
SELECT
    format('session %s of %s (%s, %s)', a.pid, a.usename, nullif(a.application_name, ''), a.state) AS description,
    extract(EPOCH FROM now() - a.xact_start)::float8 AS seconds,
    left(regexp_replace(a.query, '\s+', ' ', 'g'), 120) AS query
FROM pg_stat_activity AS a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
    AND a.xact_start < now() - make_interval(secs => $1)
ORDER BY a.xact_start
