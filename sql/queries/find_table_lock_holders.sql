-- Who stands in the way of a lock on a table: sessions that hold one on it, the oldest transaction first.
SELECT a.pid, a.usename, a.application_name, a.state, left(a.query, 120) AS query,
    round(extract(EPOCH FROM now() - a.xact_start)::numeric, 1) AS seconds, string_agg(l.mode, ', ') AS modes
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation = ANY ($1::text[]::regclass[]::oid[])
GROUP BY a.pid, a.usename, a.application_name, a.state, a.query, a.xact_start
ORDER BY a.xact_start
LIMIT 5
