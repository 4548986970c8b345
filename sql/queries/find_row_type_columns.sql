-- Stored columns of the row type of campaigns ($1 oid), as such, in arrays, domains or other row types: while there are any, PostgreSQL
-- adds no column with a default to campaigns.
WITH RECURSIVE made_of (oid) AS (
    SELECT c.reltype FROM pg_class AS c WHERE c.oid = $1
    UNION
    SELECT s.oid
    FROM made_of AS m
    CROSS JOIN LATERAL (
        SELECT t.oid FROM pg_type AS t WHERE t.typelem = m.oid OR t.typbasetype = m.oid
        UNION
        SELECT r.rngtypid FROM pg_range AS r WHERE r.rngsubtype = m.oid
        UNION
        SELECT c.reltype FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid AND c.reltype <> 0
        WHERE a.atttypid = m.oid AND NOT a.attisdropped
    ) AS s
)
SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS description
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'm', 'p')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT a.attisdropped AND a.atttypid IN (SELECT m.oid FROM made_of AS m)
ORDER BY 1
