-- Whom a session waits for: by a lock, or, for an index build, by a snapshot that is older than it.
SELECT format('session %s of %s (%s, %s, open for %s s): %s', a.pid, a.usename, a.application_name, a.state,
    round(extract(EPOCH FROM now() - a.xact_start)), left(a.query, 120)) AS description
FROM pg_stat_activity AS a
WHERE a.pid = ANY (pg_blocking_pids($1))
    OR a.pid = (SELECT p.current_locker_pid FROM pg_stat_progress_create_index AS p WHERE p.pid = $1)
