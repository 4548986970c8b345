-- Writes the query whether a column ($2) of a table ($1 oid) admits a text ($3): its type, and with $4 the checks on it alone.
-- The query answers false, or fails with a data exception or a check violation.
SELECT format(
    'SELECT %s FROM (SELECT %L::%s AS %I) AS candidate',
    concat_ws(
        ' AND ', format('candidate.%I::text = %L', a.attname, $3::text),
        (
            SELECT string_agg(format('(%s) IS NOT FALSE', pg_get_expr(k.conbin, k.conrelid)), ' AND ')
            FROM pg_constraint AS k
            WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum] AND $4::boolean
                AND to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'  -- NOT ENFORCED, from PostgreSQL 18 on
        )
    ),
    $3::text, format_type(a.atttypid, a.atttypmod), a.attname
)
FROM pg_attribute AS a
WHERE a.attrelid = $1::oid AND a.attname = $2::text AND NOT a.attisdropped
