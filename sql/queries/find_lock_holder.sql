-- Who holds an advisory lock ($1, 64 bits): session, role, address and since when; the longest there first. Another role's
-- address and start may be hidden from this one.
SELECT a.pid, a.usename, a.application_name, coalesce(host(a.client_addr), 'an unknown address') AS address, a.backend_start
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid::bigint = ($1::bigint >> 32) & 4294967295 AND l.objid::bigint = $1::bigint & 4294967295 AND l.objsubid = 1
    AND l.pid <> pg_backend_pid()
ORDER BY a.backend_start
LIMIT 1
