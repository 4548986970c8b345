-- The part of an index that the pipeline is about to build on a partition. It goes with the whole; what was never attached,
-- the way back drops by itself.
INSERT INTO migration_saved_objects (position, kind, identity, drop_statement)
VALUES (896, 'added index part', $1::text, format('DROP INDEX IF EXISTS %s', $1::text))
ON CONFLICT (kind, identity) DO NOTHING
