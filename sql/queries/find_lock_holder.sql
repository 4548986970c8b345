-- Who holds the advisory lock of a run: session, role, address, since when, and the run's own row if there is one.
SELECT a.pid, a.usename, a.application_name, coalesce(a.client_addr::text, 'local') AS address, a.backend_start
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid::bigint = ($1::bigint >> 32) & 4294967295 AND l.objid::bigint = $1::bigint & 4294967295
  AND l.pid <> pg_backend_pid()
