-- What golang-migrate's table says; it keeps one row at most.
SELECT version, dirty FROM schema_migrations ORDER BY version LIMIT 20
