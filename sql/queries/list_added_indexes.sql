-- The indexes that this migration has built or is about to build, as it has written them down.
SELECT identity FROM migration_saved_objects WHERE kind IN ('added index', 'added index part')
