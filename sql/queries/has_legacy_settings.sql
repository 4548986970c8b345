-- Whether NOT NULL, settings, statistics, comments or grants of the legacy columns are still to be replayed.
SELECT EXISTS (
    SELECT FROM migration_saved_objects
    WHERE position BETWEEN 210 AND 222 OR position BETWEEN 310 AND 599 AND kind NOT IN ('publication', 'index replica identity')
)
