-- The columns of a table with their types; the category is PostgreSQL's (S text, E enum, N number, D time, B boolean).
SELECT
    a.attname AS name,
    format_type(a.atttypid, a.atttypmod) AS type,
    t.typcategory::text AS category,
    a.attnotnull AS is_not_null,
    a.attgenerated <> '' OR a.attidentity <> '' AS is_computed,
    CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END AS length
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
