-- A dependent as it was, before it is moved. The first record is the true one: a repeated move does not replace it.
INSERT INTO migration_saved_objects (position, kind, identity, definition, drop_statement, create_statement, rebuild_statement)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (kind, identity) DO NOTHING
