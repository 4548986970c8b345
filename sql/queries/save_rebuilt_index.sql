-- An index ($1, with its schema) that is about to be built anew: what an interrupted rebuild leaves is ours to drop.
INSERT INTO migration_saved_objects (position, kind, identity) VALUES (880, 'rebuilt index', $1::text)
ON CONFLICT (kind, identity) DO NOTHING
