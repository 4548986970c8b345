-- Replicas that stream from this server: their lag in bytes and seconds (NULL where this role may not see it).
SELECT
    coalesce(nullif(r.application_name, ''), 'replica') || coalesce(' at ' || host(r.client_addr), '') AS name,
    r.sync_state,
    pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)::bigint AS lag_bytes,
    extract(EPOCH FROM r.replay_lag)::float8 AS lag_seconds
FROM pg_stat_replication AS r
WHERE NOT EXISTS (SELECT FROM pg_stat_progress_basebackup AS b WHERE b.pid = r.pid)
ORDER BY name
