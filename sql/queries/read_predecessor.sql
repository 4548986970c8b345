-- The version that golang-migrate had before 000035, if it was there.
SELECT definition FROM migration_saved_objects WHERE kind = 'golang-migrate' AND identity = 'version'
