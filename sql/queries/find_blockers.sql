-- Whom a session waits for: by a lock, or, for an index build, by a snapshot that is older than it.
SELECT format('session %s of %s (%s, %s, transaction open for %s s): %s', a.pid, a.usename,
    coalesce(nullif(a.application_name, ''), a.backend_type), coalesce(a.state, 'state unknown'),
    round(extract(EPOCH FROM clock_timestamp() - a.xact_start)), left(regexp_replace(a.query, '\s+', ' ', 'g'), 120)) AS description
FROM pg_stat_activity AS a
WHERE a.pid = ANY (pg_blocking_pids($1))
    OR a.pid = (SELECT nullif(p.current_locker_pid, 0) FROM pg_stat_progress_create_index AS p WHERE p.pid = $1)
ORDER BY a.xact_start
