-- Constraints of a table ($1) by name, check constraints with the columns that they read. Not those that are NOT ENFORCED, which came
-- with PostgreSQL 18.
SELECT
    k.conname AS name,
    k.contype::text AS kind,
    pg_get_constraintdef(k.oid) AS definition,
    ARRAY(
        SELECT a.attname::text FROM unnest(k.conkey) AS u (number)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
    ) AS columns
FROM pg_constraint AS k
WHERE k.conrelid = $1 AND to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'
ORDER BY k.conname
