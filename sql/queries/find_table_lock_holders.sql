-- Who stands in the way of a lock on tables ($1 names) with modes that conflict with it, that is, none of $2; the oldest
-- transaction first.
SELECT a.pid, a.usename, coalesce(nullif(a.application_name, ''), a.backend_type) AS application_name,
    coalesce(a.state, 'state unknown') AS state, left(regexp_replace(a.query, '\s+', ' ', 'g'), 120) AS query,
    round(extract(EPOCH FROM clock_timestamp() - a.xact_start)::numeric, 1) AS seconds,
    string_agg(DISTINCT l.mode, ', ') AS modes
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.relation IN (SELECT to_regclass(format('%I.%I', current_schema(), t.name)) FROM unnest($1::text[]) AS t (name))
    AND l.mode <> ALL ($2::text[])
GROUP BY a.pid, a.usename, a.application_name, a.backend_type, a.state, a.query, a.xact_start
ORDER BY a.xact_start
LIMIT 5
