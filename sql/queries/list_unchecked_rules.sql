-- Rules of campaigns ($1 oid) that were never checked against the rows of before (NOT VALID), each with the query for the rows that break
-- it. Not those on the phases columns: they are about to be filled.
SELECT
    k.conname::text AS name,
    pg_get_constraintdef(k.oid) AS definition,
    format(
        'SELECT count(*) AS count, (array_agg(campaigns.id::text ORDER BY campaigns.id))[1:20] AS keys FROM %s WHERE (%s) IS FALSE',
        k.conrelid::regclass,
        coalesce(pg_get_expr(k.conbin, k.conrelid), (
            SELECT format('%I IS NOT NULL', a.attname) FROM pg_attribute AS a
            WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
        ))
    ) AS census
FROM pg_constraint AS k
WHERE k.conrelid = $1::oid AND k.contype IN ('c', 'n') AND NOT k.convalidated
    AND to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'  -- NOT ENFORCED, from PostgreSQL 18 on
    AND NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND a.attname = ANY ($2::text[])
    )
ORDER BY k.conname
