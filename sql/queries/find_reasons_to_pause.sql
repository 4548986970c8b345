-- Why the next batch should wait: replicas behind by more than $1 seconds, and transactions older than $2 seconds whose
-- snapshot keeps vacuum from removing what batches leave behind. Index builds and vacuum themselves hold nothing back.
SELECT format('replica %s is %s s behind (limit %s s)', coalesce(nullif(r.application_name, ''), r.client_addr::text, r.pid::text),
    round(extract(EPOCH FROM greatest(r.write_lag, r.flush_lag, r.replay_lag))::numeric, 1), $1::double precision) AS reason
FROM pg_stat_replication AS r
WHERE extract(EPOCH FROM greatest(r.write_lag, r.flush_lag, r.replay_lag)) > $1::double precision
UNION ALL
SELECT format('session %s of %s (%s) has had a transaction open for %s s (limit %s s), which holds back vacuum: %s', a.pid, a.usename,
    a.application_name, round(extract(EPOCH FROM now() - a.xact_start)), $2::double precision, left(a.query, 80))
FROM pg_stat_activity AS a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
    AND coalesce(a.backend_xmin, a.backend_xid) IS NOT NULL
    AND extract(EPOCH FROM now() - a.xact_start) > $2::double precision
    AND a.backend_type = 'client backend'
