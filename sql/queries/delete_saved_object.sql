-- A record that has been replayed.
DELETE FROM migration_saved_objects WHERE id = $1
