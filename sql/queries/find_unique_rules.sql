-- Unique indexes of campaigns ($1 oid) that involve a legacy column and say something that the primary key does not say anyway. Those of
-- constraints are dependents like others, but for exclusion constraints that read it in an expression or a predicate alone.
SELECT format('%I.%I', n.nspname, i.relname) AS identity,
    CASE WHEN x.indisexclusion THEN 'exclusion constraint' ELSE 'unique index' END AS kind,
    coalesce((SELECT pg_get_constraintdef(k.oid) FROM pg_constraint AS k WHERE k.conindid = x.indexrelid), pg_get_indexdef(i.oid)) AS definition
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace
WHERE x.indrelid = $1 AND (x.indisunique OR x.indisexclusion)
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conindid = x.indexrelid AND (k.contype <> 'x' OR EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = $1 AND a.attnum = ANY (k.conkey) AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
        ))
    )
    AND NOT EXISTS (
        SELECT FROM pg_index AS p
        WHERE x.indisunique AND p.indrelid = x.indrelid AND p.indisprimary
            AND (string_to_array(p.indkey::text, ' '))[1:p.indnkeyatts] <@ (string_to_array(x.indkey::text, ' '))[1:x.indnkeyatts]
    )
    AND EXISTS (
        SELECT FROM pg_depend AS d JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
            AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
    )
ORDER BY 1
