-- Statements on this database, all roles.
SELECT s.userid, s.queryid, s.query, s.calls, pg_get_userbyid(s.userid) AS role
FROM pg_stat_statements AS s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.queryid IS NOT NULL
