-- Every database of this server, by name, with the statement that drops it.
SELECT d.datname::text AS name, format('DROP DATABASE IF EXISTS %I WITH (FORCE)', d.datname) AS drop_statement
FROM pg_database AS d
ORDER BY d.datname
