-- Sessions that hold a table of the campaign schema ($1) so that nobody else can read it.
SELECT DISTINCT format(
    'session %s of %s (%s, transaction open for %s s): %s', a.pid, a.usename, a.state,
    round(extract(EPOCH FROM now() - a.xact_start)), left(a.query, 120)
) AS description
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND (n.nspname = $1 OR c.relname IN ('campaigns', 'generated_domains', 'users'))
ORDER BY description
