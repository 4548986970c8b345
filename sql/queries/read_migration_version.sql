-- golang-migrate's version: one row at most.
SELECT version, dirty FROM schema_migrations LIMIT 1
