-- The values of a column's ($2) enum type in a table ($1), in order; none where it is of another type.
SELECT e.enumlabel::text AS value
FROM pg_attribute AS a
JOIN pg_enum AS e ON e.enumtypid = a.atttypid
WHERE a.attrelid = $1 AND a.attname = $2 AND NOT a.attisdropped
ORDER BY e.enumsortorder
