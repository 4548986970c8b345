-- Indexes ($1 names, $2 definitions), constraints ($3) and triggers ($4) that bear our names, and how each would be called and called again.
-- Triggers fire in the order of their names, so one of another's gets a name that comes just before ours.
WITH home AS (
    SELECT
        quote_ident(current_schema())::regnamespace AS schema,
        to_regclass(format('%I.campaigns', current_schema())) AS campaigns,
        to_regclass(format('%I.generated_domains', current_schema())) AS domains
), taken AS (
    SELECT
        'index' AS kind, c.relname AS name, coalesce(t.relname, c.relname) AS table_name,
        CASE WHEN i.indexrelid IS NULL THEN pg_describe_object('pg_class'::regclass, c.oid, 0) ELSE pg_get_indexdef(c.oid) END AS found,
        w.definition AS wanted, i.indexrelid IS NULL OR k.conname IS NOT NULL AS is_called_by_name,
        coalesce(
            replace(replace(regexp_replace(pg_get_indexdef(i.indexrelid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'),
            ' ON ONLY ', ' ON '), format(' ON %I.', current_schema()), ' ON ')
            = w.definition, false
        ) AS is_ours,
        coalesce(i.indisvalid AND i.indisready AND i.indislive, true) AS is_valid, c.relowner AS owner,
        format('ALTER INDEX %I.', current_schema()) AS before_name, ' RENAME TO ' AS between_names,
        left(c.relname, 47) || '_before_000035' AS stem
    FROM home
    CROSS JOIN unnest($1::text[], $2::text[]) AS w (name, definition)
    JOIN pg_class AS c ON c.relnamespace = home.schema AND c.relname = w.name
    LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
    LEFT JOIN pg_class AS t ON t.oid = i.indrelid
    LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    UNION ALL
    SELECT
        'constraint', k.conname, 'campaigns', pg_get_constraintdef(k.oid), NULL, k.contype IN ('p', 'u', 'x'), false, true,
        t.relowner, format('ALTER TABLE %I.campaigns RENAME CONSTRAINT ', current_schema()), ' TO ',
        left(k.conname, 47) || '_before_000035'
    FROM home
    JOIN pg_constraint AS k ON k.conrelid = home.campaigns AND k.conname = ANY ($3::text[])
    JOIN pg_class AS t ON t.oid = k.conrelid
    UNION ALL
    SELECT
        'trigger', g.tgname, t.relname, format('calls %s()', p.oid::regproc), NULL, false,
        p.pronamespace = home.schema AND p.proname = ANY ($5::text[]), true, t.relowner, 'ALTER TRIGGER ',
        format(' ON %I.%I RENAME TO ', current_schema(), t.relname), left(g.tgname, least(length(g.tgname) - 1, 47)) || '_before_000035'
    FROM home
    JOIN pg_trigger AS g ON g.tgrelid IN (home.campaigns, home.domains) AND NOT g.tgisinternal AND g.tgname = ANY ($4::text[])
    JOIN pg_class AS t ON t.oid = g.tgrelid
    JOIN pg_proc AS p ON p.oid = g.tgfoid
)
SELECT
    taken.kind, taken.name, taken.table_name, taken.found, taken.wanted, taken.is_called_by_name, taken.is_ours, taken.is_valid,
    pg_has_role(taken.owner, 'USAGE') AS is_owned, free.name AS new_name,
    taken.before_name || quote_ident(taken.name) || taken.between_names || quote_ident(free.name) AS rename_statement,
    taken.before_name || quote_ident(free.name) || taken.between_names || quote_ident(taken.name) AS back_statement
FROM taken
CROSS JOIN home
CROSS JOIN LATERAL (
    SELECT candidate.name
    FROM (
        SELECT n, taken.stem || CASE WHEN n > 1 THEN format('_%s', n) ELSE '' END AS name FROM generate_series(1, 99) AS n
    ) AS candidate
    WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = home.schema AND c.relname = candidate.name)
        AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = home.campaigns AND k.conname = candidate.name)
        AND NOT EXISTS (
            SELECT FROM pg_trigger AS g WHERE g.tgrelid IN (home.campaigns, home.domains) AND g.tgname = candidate.name
        )
    ORDER BY candidate.n
    LIMIT 1
) AS free
ORDER BY taken.kind, taken.name
