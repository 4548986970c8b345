-- One statement at one look.
INSERT INTO migration_statement_looks (userid, queryid, calls) VALUES ($1, $2, $3)
