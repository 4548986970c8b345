-- Tables that campaigns.user_id may point to: by its foreign keys where it has any, else by name.
WITH referenced AS (
    SELECT DISTINCT k.confrelid AS oid, f.attname AS key_column
    FROM pg_constraint AS k
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attname = 'user_id' AND NOT a.attisdropped
    JOIN pg_attribute AS f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
    WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum]
),
named AS (
    SELECT c.oid, f.attname AS key_column
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS f ON f.attrelid = c.oid AND f.attname = 'id' AND NOT f.attisdropped
    WHERE c.relname = 'users' AND c.relkind IN ('r', 'p') AND n.nspname IN ('public', 'auth', $2)
        AND NOT EXISTS (SELECT FROM referenced)
)
SELECT
    u.oid,
    format('%I.%I', n.nspname, c.relname) AS name,
    u.key_column,
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS is_readable,
    row_security_active(c.oid) AS is_filtered
FROM (SELECT * FROM referenced UNION ALL SELECT * FROM named) AS u
JOIN pg_class AS c ON c.oid = u.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY name
