-- The columns of a table with their types; the category is PostgreSQL's (S text, E enum, N number, D time, B boolean).
SELECT
    a.attname AS name,
    format_type(a.atttypid, a.atttypmod) AS type,
    t.typcategory::text AS category,
    a.attnotnull AS is_not_null,
    a.attgenerated <> '' OR a.attidentity <> '' AS is_computed,
    t.typtype = 'd' AND t.typcategory = 'E' AS hides_enum,
    -- A domain's own default and NOT NULL hold for the column whatever its table says; those of a domain over it, too.
    (
        WITH RECURSIVE below AS (
            SELECT t.oid, t.typtype, t.typbasetype, t.typdefault, t.typnotnull
            UNION ALL
            SELECT d.oid, d.typtype, d.typbasetype, d.typdefault, d.typnotnull FROM below AS b JOIN pg_type AS d ON d.oid = b.typbasetype
            WHERE b.typtype = 'd'
        )
        SELECT string_agg(DISTINCT r.rule, ' and ') FROM below AS b
        CROSS JOIN LATERAL (VALUES (CASE WHEN b.typdefault IS NOT NULL THEN 'DEFAULT' END), (CASE WHEN b.typnotnull THEN 'NOT NULL' END)) AS r (rule)
        WHERE b.typtype = 'd'
    ) AS domain_rules,
    CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END AS length
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
