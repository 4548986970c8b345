-- An index that the pipeline is about to build: whatever becomes of the build, the way back drops it.
INSERT INTO migration_saved_objects (position, kind, identity, drop_statement)
VALUES (895, 'added index', $1::text, format('DROP INDEX IF EXISTS %I', $1::text))
ON CONFLICT (kind, identity) DO NOTHING
