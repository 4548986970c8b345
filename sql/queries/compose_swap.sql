-- The two commands that put a restored database ($2) in the place of the old one ($1), which keeps its rows under a new name.
SELECT
    format('ALTER DATABASE %I RENAME TO %I', $1::text, left($1::text, 40) || '_before_restore_' || $3::text) AS aside_statement,
    format('ALTER DATABASE %I RENAME TO %I', $2::text, $1::text) AS in_place_statement
