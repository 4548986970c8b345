-- The compatibility view and the expressions that stand for legacy columns, composed from the catalog and the mapping.
-- {row} is the qualifier of a row of campaigns. "kept" answers with the value as it was written as long as it still maps to
-- the row's phase or status; "inverse" knows the inverse mapping alone, for places where no subquery may stand.
-- Campaigns' oid, schema, the view's name, columns that it does not show; whether it is read with the rights of whoever reads it
-- ($5), who may then not look into the table of kept values, but asks for one campaign at a time.
WITH legacy AS (
    SELECT a.attname AS name, a.attnum,
        format_type(a.atttypid, a.atttypmod) || coalesce((
            SELECT format(' COLLATE %I.%I', n.nspname, k.collname) FROM pg_collation AS k JOIN pg_namespace AS n ON n.oid = k.collnamespace
            WHERE k.oid = a.attcollation AND a.attcollation <> t.typcollation
        ), '') AS type,
        coalesce(pg_get_expr(d.adbin, d.adrelid), 'NULL') AS standard,
        CASE WHEN $5::boolean THEN format('%I.migration_kept_values({row}id) AS v ON true', $2::text)
            ELSE format('%I.migration_legacy_values AS v ON v.campaign_id = {row}id', $2::text) END AS source
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1::oid AND a.attname IN ('campaign_type', 'status', 'launch_sequence') AND NOT a.attisdropped
),
forward AS (
    SELECT 'campaign_type' AS name, k.value, migration_map_current_phase(k.value) AS target
    FROM unnest(ARRAY['domain_generation', 'dns_validation', 'http_keyword_validation', 'analysis', NULL]) AS k (value)
    UNION
    SELECT 'status', k.value, migration_map_phase_status(k.value)
    FROM unnest(ARRAY['pending', 'queued', 'running', 'pausing', 'paused', 'completed', 'archived', 'failed', 'cancelled', NULL])
        AS k (value)
    UNION
    SELECT CASE m.target WHEN 'current_phase' THEN 'campaign_type' ELSE 'status' END, m.source_value, m.target_value
    FROM migration_custom_mappings AS m
    WHERE m.target IN ('current_phase', 'phase_status') AND NOT m.source_is_null
),
back AS (
    SELECT 'campaign_type' AS name, k.value, migration_map_campaign_type(k.value) AS target
    FROM unnest(ARRAY['setup', 'generation', 'dns_validation', 'http_keyword_validation', 'analysis']) AS k (value)
    UNION ALL
    SELECT 'status', k.value, migration_map_status(k.value)
    FROM unnest(ARRAY['not_started', 'in_progress', 'paused', 'completed', 'failed']) AS k (value)
),
phrases AS (
    SELECT l.*,
        CASE l.name WHEN 'campaign_type' THEN 'current_phase' ELSE 'phase_status' END AS phases_column,
        (SELECT string_agg(CASE WHEN f.value IS NULL THEN format('WHEN v.%I IS NULL THEN %L', l.name, f.target)
                                ELSE format('WHEN v.%I = %L THEN %L', l.name, f.value, f.target) END, ' ' ORDER BY f.value)
         FROM forward AS f WHERE f.name = l.name AND f.target IS NOT NULL) AS forward_cases,
        (SELECT string_agg(format('WHEN %L THEN %L', b.value, b.target), ' ' ORDER BY b.value)
         FROM back AS b WHERE b.name = l.name) AS back_cases
    FROM legacy AS l
),
expressions AS (
    SELECT p.name, p.attnum,
        CASE p.name
            WHEN 'launch_sequence' THEN format(
                '(SELECT CASE WHEN v.campaign_id IS NULL THEN %s ELSE v.launch_sequence END FROM (SELECT 1) AS one'
                ' LEFT JOIN %s)', p.standard, p.source)
            ELSE format(
                '(SELECT CASE WHEN v.campaign_id IS NOT NULL AND (%s(CASE %s END) = {row}%I::text) THEN v.%I'
                ' ELSE CASE {row}%I::text %s END END FROM (SELECT 1) AS one'
                ' LEFT JOIN %s)::%s',
                CASE p.name WHEN 'campaign_type' THEN 'v.campaign_type IN (''comprehensive'', ''automated'') OR ' ELSE '' END,
                p.forward_cases, p.phases_column, p.name, p.phases_column, p.back_cases, p.source, p.type)
        END AS kept,
        CASE WHEN p.name <> 'launch_sequence'
            THEN format('(CASE {row}%I::text %s END)::%s', p.phases_column, p.back_cases, p.type) END AS inverse
    FROM phrases AS p
)
SELECT
    format('CREATE VIEW %I.%I%s AS SELECT %s FROM %I.campaigns AS c', $2::text, $3::text,
        CASE WHEN $5 THEN ' WITH (security_invoker = true)' ELSE '' END,
        string_agg(coalesce(replace(e.kept, '{row}', 'c.') || format(' AS %I', a.attname), format('c.%I', a.attname)), ', ' ORDER BY a.attnum),
        $2::text) AS view_statement,
    (SELECT jsonb_object_agg(e.name, e.kept) FROM expressions AS e) AS kept,
    (SELECT jsonb_object_agg(e.name, e.inverse) FILTER (WHERE e.inverse IS NOT NULL) FROM expressions AS e) AS inverse
FROM pg_attribute AS a
LEFT JOIN expressions AS e ON e.attnum = a.attnum
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL ($4::text[])
