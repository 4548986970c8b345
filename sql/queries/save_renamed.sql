-- Somebody else's object that bore a name of ours: its kind, its name from now on, what it was, and how it gets its name back last of all.
INSERT INTO migration_saved_objects (position, kind, identity, definition, create_statement)
VALUES (990, 'renamed ' || $1::text, $2::text, $3::text, $4::text)
ON CONFLICT (kind, identity) DO UPDATE SET definition = excluded.definition, create_statement = excluded.create_statement
