-- Whether a recorded rule of the legacy columns is still to be added, or the one that stands for their NOT NULL.
SELECT EXISTS (
    SELECT FROM migration_saved_objects AS s
    WHERE (s.kind = 'check constraint' OR s.kind = 'column not null' AND s.create_statement NOT LIKE '% NOT VALID')
      AND NOT EXISTS (
          SELECT FROM pg_constraint
          WHERE conrelid = to_regclass(format('%I.campaigns', current_schema()))
              AND conname = CASE s.kind WHEN 'check constraint' THEN s.identity ELSE 'migration_legacy_filled' END
      )
)
