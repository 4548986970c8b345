-- The version that golang-migrate had before 000035; the way back writes it again.
INSERT INTO migration_saved_objects (position, kind, identity, definition)
VALUES (0, 'golang-migrate', 'version', $1)
ON CONFLICT (kind, identity) DO NOTHING
