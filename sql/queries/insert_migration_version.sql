-- golang-migrate's version, after the table was emptied in the same transaction.
INSERT INTO schema_migrations (version, dirty) VALUES ($1, false)
