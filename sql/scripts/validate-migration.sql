-- Validates a migration: compares what is there with what must be there and records the answer of each check.
--
-- Runs on a migrated database and on one that still has the legacy model, where what concerns the migration is SKIPPED.
-- A check is a query for the bad rows: their count, up to 20 of their keys and the query, to be run again, are recorded in
-- migration_validation_results; migration_validation_report shows the latest run. Nothing else is written. The last
-- statement raises if a check failed. migration.run_id, where set, is recorded with each row.

DO $requirements$
DECLARE
    lacking text;
BEGIN
    SELECT string_agg(needed.name, ' and ')
    INTO lacking
    FROM (VALUES ('campaigns'), ('generated_domains')) AS needed (name)
    WHERE to_regclass(format('%I.%I', current_schema(), needed.name)) IS NULL;
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'schema % has no table %', current_schema(), lacking
            USING ERRCODE = 'undefined_table',
                HINT = 'Set search_path so that the schema of the campaign tables comes first.';
    END IF;
    SELECT string_agg(format('%s %s', CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, c.relname), ' and ')
    INTO lacking
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
        AND c.relname IN ('migration_validation_results', 'migration_validation_report')
        AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %';
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'names that the validation needs are taken: %', lacking
            USING ERRCODE = 'duplicate_table', HINT = 'Rename them; nothing has been changed.';
    END IF;
END
$requirements$;

CREATE TABLE IF NOT EXISTS migration_validation_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    validation_timestamp timestamptz NOT NULL,
    suite text NOT NULL,
    test_name text NOT NULL,
    total_records bigint,
    valid_records bigint,
    invalid_records bigint,
    success_rate numeric(5, 2),
    status text NOT NULL CHECK (status IN ('PASS', 'WARN', 'FAIL', 'SKIPPED')),
    execution_time_ms numeric(12, 3),
    details text NOT NULL,
    query text NOT NULL
);
COMMENT ON TABLE migration_validation_results IS 'phases migration: the checks of every validation run';

CREATE OR REPLACE VIEW migration_validation_report AS
SELECT
    results.validation_timestamp,
    results.test_name,
    results.total_records,
    results.valid_records,
    results.invalid_records,
    results.success_rate,
    results.status,
    results.details,
    results.suite,
    results.execution_time_ms,
    results.run_id,
    results.query
FROM migration_validation_results AS results
WHERE (results.run_id, results.validation_timestamp) = (
    SELECT latest.run_id, latest.validation_timestamp
    FROM migration_validation_results AS latest
    ORDER BY latest.id DESC
    LIMIT 1
)
ORDER BY results.id;
COMMENT ON VIEW migration_validation_report IS 'phases migration: the checks of the latest validation run';

-- block: mappings
-- How a legacy value becomes a phases value and back. What the installation adds to the fixed mapping stands in
-- migration_custom_mappings; a value that neither knows maps to NULL, and the caller refuses it.
CREATE TABLE IF NOT EXISTS migration_custom_mappings (
    target text NOT NULL CHECK (target IN ('current_phase', 'phase_status', 'campaign_type', 'status')),
    source_is_null boolean NOT NULL,
    source_value text NOT NULL,
    target_value text NOT NULL,
    PRIMARY KEY (target, source_is_null, source_value)
);
COMMENT ON TABLE migration_custom_mappings IS
    'phases migration: mappings that this installation adds to the fixed ones';

CREATE OR REPLACE FUNCTION migration_map_current_phase(campaign_type text)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
DECLARE
    mapped text := CASE $1
        WHEN 'domain_generation' THEN 'generation'
        WHEN 'dns_validation' THEN 'dns_validation'
        WHEN 'http_keyword_validation' THEN 'http_keyword_validation'
        WHEN 'analysis' THEN 'analysis'
        WHEN 'comprehensive' THEN 'generation'
        WHEN 'automated' THEN 'generation'
    END;
BEGIN
    IF mapped IS NULL THEN
        SELECT m.target_value INTO mapped
        FROM migration_custom_mappings AS m
        WHERE m.target = 'current_phase' AND m.source_is_null = ($1 IS NULL) AND m.source_value = coalesce($1, '');
    END IF;
    RETURN mapped;
END
$function$;

CREATE OR REPLACE FUNCTION migration_map_phase_status(status text)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
DECLARE
    mapped text := CASE $1
        WHEN 'pending' THEN 'not_started'
        WHEN 'queued' THEN 'not_started'
        WHEN 'running' THEN 'in_progress'
        WHEN 'pausing' THEN 'paused'
        WHEN 'paused' THEN 'paused'
        WHEN 'completed' THEN 'completed'
        WHEN 'archived' THEN 'completed'
        WHEN 'failed' THEN 'failed'
        WHEN 'cancelled' THEN 'failed'
    END;
BEGIN
    IF mapped IS NULL THEN
        SELECT m.target_value INTO mapped
        FROM migration_custom_mappings AS m
        WHERE m.target = 'phase_status' AND m.source_is_null = ($1 IS NULL) AND m.source_value = coalesce($1, '');
    END IF;
    RETURN mapped;
END
$function$;

-- The way back. A custom mapping comes first here: it stands for a value that the installation's own constraint forbids.
CREATE OR REPLACE FUNCTION migration_map_campaign_type(current_phase text)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
DECLARE
    mapped text;
BEGIN
    SELECT m.target_value INTO mapped
    FROM migration_custom_mappings AS m
    WHERE m.target = 'campaign_type' AND NOT m.source_is_null AND m.source_value = $1;
    RETURN coalesce(mapped, CASE $1
        WHEN 'setup' THEN 'domain_generation'
        WHEN 'generation' THEN 'domain_generation'
        WHEN 'dns_validation' THEN 'dns_validation'
        WHEN 'http_keyword_validation' THEN 'http_keyword_validation'
        WHEN 'analysis' THEN 'analysis'
    END);
END
$function$;

CREATE OR REPLACE FUNCTION migration_map_status(phase_status text)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
DECLARE
    mapped text;
BEGIN
    SELECT m.target_value INTO mapped
    FROM migration_custom_mappings AS m
    WHERE m.target = 'status' AND NOT m.source_is_null AND m.source_value = $1;
    RETURN coalesce(mapped, CASE $1
        WHEN 'not_started' THEN 'pending'
        WHEN 'in_progress' THEN 'running'
        WHEN 'paused' THEN 'paused'
        WHEN 'completed' THEN 'completed'
        WHEN 'failed' THEN 'failed'
    END);
END
$function$;

-- Percent, 0 to 100: the phase gives the base and the width, the work done in it the fraction.
CREATE OR REPLACE FUNCTION migration_map_progress(
    current_phase text, phase_status text, progress_percentage double precision,
    domains bigint, dns_validated_domains bigint, http_validated_domains bigint, leads bigint
)
RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    base numeric;
    width numeric;
    fraction numeric;
BEGIN
    IF $2 = 'completed' THEN
        RETURN 100.00;
    ELSIF $2 IN ('failed', 'not_started') OR $1 = 'setup' THEN
        RETURN 0.00;
    END IF;
    CASE $1
        WHEN 'generation' THEN
            base := 0; width := 25; fraction := coalesce($3, 0)::numeric / 100;
        WHEN 'dns_validation' THEN
            base := 25; width := 25; fraction := coalesce($5::numeric / nullif($4, 0), 0);
        WHEN 'http_keyword_validation' THEN
            base := 50; width := 25; fraction := coalesce($6::numeric / nullif($4, 0), 0);
        WHEN 'analysis' THEN
            base := 75; width := 20; fraction := coalesce($7::numeric / nullif($4, 0), 0);
        ELSE
            RETURN NULL;
    END CASE;
    RETURN round(base + width * least(greatest(fraction, 0), 1), 2);
END
$function$;

-- The five read nothing but what stands in this schema, whatever search path the caller has.
DO $block$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'migration_map_current_phase(text)', 'migration_map_phase_status(text)', 'migration_map_campaign_type(text)',
        'migration_map_status(text)',
        'migration_map_progress(text, text, double precision, bigint, bigint, bigint, bigint)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END
$block$;
-- end block: mappings

-- Where this database stands: legacy, dual (both models, nothing of ours keeps them in step), expanded (both models, kept in
-- step) or migrated. Checks name the states that they apply to.
DO $state$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    legacy_columns boolean;
    phases_columns boolean;
BEGIN
    SELECT
        bool_or(attname IN ('campaign_type', 'status')), bool_or(attname IN ('current_phase', 'phase_status'))
    INTO legacy_columns, phases_columns
    FROM pg_catalog.pg_attribute
    WHERE attrelid = campaigns_oid AND attnum > 0 AND NOT attisdropped;
    PERFORM set_config(
        'migration.validated_state',
        CASE
            WHEN NOT legacy_columns THEN 'migrated'
            -- The contract made this view; with legacy columns beside it something went wrong, and the checks say what.
            WHEN to_regclass(format('%I.campaign_performance_metrics', current_schema())) IS NOT NULL THEN 'migrated'
            WHEN NOT phases_columns THEN 'legacy'
            WHEN EXISTS (
                SELECT 1 FROM pg_catalog.pg_trigger
                WHERE tgrelid = campaigns_oid AND tgname = 'zzy_migration_sync_models'
            ) THEN 'expanded'
            ELSE 'dual'
        END,
        false
    );
END
$state$;

CREATE TEMP TABLE IF NOT EXISTS migration_checks (
    ordinal integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    suite text NOT NULL,
    name text NOT NULL UNIQUE,
    states text [] NOT NULL,
    needs text [] NOT NULL DEFAULT '{}', -- tables and views without which the check has nothing to look at
    severity text NOT NULL DEFAULT 'FAIL', -- the status where bad rows are found
    total_query text NOT NULL,
    bad_query text NOT NULL, -- gives one column, key
    note_query text, -- gives one text, added to the details
    advice text NOT NULL,
    skip_reason text -- decided beforehand
);
TRUNCATE pg_temp.migration_checks;

-- The schema: what must be gone, what must be there.
INSERT INTO pg_temp.migration_checks (suite, name, states, severity, total_query, bad_query, advice)
VALUES
(
    'schema', 'legacy_columns_removed', '{migrated}', 'FAIL', 'SELECT 3',
    $q$
    SELECT attname AS key FROM pg_attribute
    WHERE attrelid = 'campaigns'::regclass AND NOT attisdropped
        AND attname IN ('campaign_type', 'status', 'launch_sequence')
    $q$,
    'Legacy columns are still there; run 000035_eliminate_dual_architecture.up.sql'
),
(
    'schema', 'phases_columns_present', '{dual,expanded,migrated}', 'FAIL', 'SELECT 7',
    $q$
    SELECT format(
        '%s (%s, %s wanted)', wanted.name, coalesce(format_type(a.atttypid, a.atttypmod), 'missing'), wanted.type
    ) AS key
    FROM (
        VALUES
        ('current_phase', 'text'), ('phase_status', 'text'), ('progress', 'numeric(5,2)'), ('domains', 'bigint'),
        ('leads', 'bigint'), ('dns_validated_domains', 'bigint'), ('http_validated_domains', 'bigint')
    ) AS wanted (name, type)
    LEFT JOIN pg_attribute AS a
        ON a.attrelid = 'campaigns'::regclass AND a.attname = wanted.name AND NOT a.attisdropped
    LEFT JOIN pg_type AS t ON t.oid = a.atttypid
    -- Types that were there and hold our values stay: varchar, an enum or domain of the phases, a wider numeric.
    WHERE format_type(a.atttypid, a.atttypmod) IS DISTINCT FROM wanted.type
        AND NOT coalesce(wanted.type = 'text' AND t.typcategory IN ('S', 'E'), false)
        AND NOT coalesce(wanted.name = 'progress' AND a.atttypid = 'numeric'::regtype, false)
    $q$,
    'Phases columns are missing or of another type; run 000035_eliminate_dual_architecture.up.sql'
),
(
    'schema', 'phases_columns_not_null', '{migrated}', 'FAIL', 'SELECT 7',
    $q$
    SELECT attname AS key FROM pg_attribute
    WHERE attrelid = 'campaigns'::regclass AND NOT attisdropped AND NOT attnotnull
        AND attname IN (
            'current_phase', 'phase_status', 'progress', 'domains', 'leads', 'dns_validated_domains', 'http_validated_domains'
        )
    $q$,
    'These columns must be NOT NULL; run ALTER TABLE campaigns ALTER COLUMN ... SET NOT NULL'
),
(
    'schema', 'phases_columns_defaults', '{migrated}', 'FAIL', 'SELECT 7',
    $q$
    SELECT format(
        '%s (default %s, %s wanted)', wanted.name, coalesce(pg_get_expr(d.adbin, d.adrelid), 'none'), wanted.value
    ) AS key
    FROM (
        VALUES
        ('current_phase', '''setup'''), ('phase_status', '''not_started'''), ('progress', '0'), ('domains', '0'), ('leads', '0'),
        ('dns_validated_domains', '0'), ('http_validated_domains', '0')
    ) AS wanted (name, value)
    LEFT JOIN pg_attribute AS a
        ON a.attrelid = 'campaigns'::regclass AND a.attname = wanted.name AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE regexp_replace(pg_get_expr(d.adbin, d.adrelid), '[()]|::.*$|\.0+', '', 'g') IS DISTINCT FROM wanted.value
    $q$,
    'These defaults differ; set them with ALTER TABLE campaigns ALTER COLUMN ... SET DEFAULT'
),
(
    'schema', 'phases_constraints_enforced', '{migrated}', 'FAIL', 'SELECT 4',
    $q$
    SELECT wanted.name AS key
    FROM (
        VALUES
        (
            'campaigns_current_phase_check',
            ARRAY['current_phase', '''setup''', '''generation''', '''dns_validation''', '''http_keyword_validation''', '''analysis''']
        ),
        (
            'campaigns_phase_status_check',
            ARRAY['phase_status', '''not_started''', '''in_progress''', '''paused''', '''completed''', '''failed''']
        ),
        ('campaigns_progress_check', ARRAY['progress', '100']),
        ('campaigns_metrics_check', ARRAY['domains', 'leads', 'dns_validated_domains', 'http_validated_domains'])
    ) AS wanted (name, words)
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_constraint AS c
        WHERE c.conrelid = 'campaigns'::regclass AND c.conname = wanted.name AND c.contype = 'c'
            AND c.convalidated
            AND (SELECT bool_and(position(word IN pg_get_constraintdef(c.oid)) > 0) FROM unnest(wanted.words) AS word)
    )
    $q$,
    'These check constraints are missing, not validated or say something else'
),
(
    'schema', 'metrics_triggers_enabled', '{expanded,migrated}', 'FAIL',
    $q$
    SELECT 6 + coalesce(sum(CASE WHEN p.isleaf THEN 4 ELSE 3 END), 0)
    FROM pg_partition_tree('generated_domains'::regclass) AS p WHERE p.relid <> 'generated_domains'::regclass
    $q$,
    $q$
    SELECT format('%s on %s', wanted.name, coalesce(wanted.relation::text, 'a table that is gone')) AS key
    FROM (
        VALUES
        ('zzz_campaign_metrics_insert', to_regclass('generated_domains')),
        ('zzz_campaign_metrics_update', to_regclass('generated_domains')),
        ('zzz_campaign_metrics_delete', to_regclass('generated_domains')),
        ('zzz_campaign_metrics_truncate', to_regclass('generated_domains')),
        ('campaign_metric_changes_fold', to_regclass('campaign_metric_changes')),
        ('zzz_campaigns_keep_row', to_regclass('campaigns'))
        UNION ALL
        -- A statement that names a partition fires that partition's triggers alone.
        SELECT part.name, p.relid
        FROM pg_partition_tree('generated_domains'::regclass) AS p
        CROSS JOIN (
            VALUES
            ('zzz_campaign_metrics_insert'), ('zzz_campaign_metrics_update'), ('zzz_campaign_metrics_delete'),
            ('zzz_campaign_metrics_truncate')
        ) AS part (name)
        WHERE p.relid <> 'generated_domains'::regclass AND (p.isleaf OR part.name <> 'zzz_campaign_metrics_truncate')
    ) AS wanted (name, relation)
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_trigger AS t
        WHERE t.tgrelid = wanted.relation AND t.tgname = wanted.name AND t.tgenabled IN ('O', 'A')
    )
    $q$,
    'Without these triggers the metrics go wrong with the next write; enable them, and after a partition was attached'
    ' SELECT campaign_metrics_cover_partitions()'
),
(
    'schema', 'foreign_keys_validated', '{legacy,dual,expanded,migrated}', 'WARN',
    $q$
    SELECT count(*) FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0
        AND ARRAY[conrelid, confrelid] && ARRAY['campaigns'::regclass, 'generated_domains'::regclass]::oid[]
    $q$,
    $q$
    SELECT format('%s on %s', conname, conrelid::regclass) AS key FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND NOT convalidated
        AND ARRAY[conrelid, confrelid] && ARRAY['campaigns'::regclass, 'generated_domains'::regclass]::oid[]
    $q$,
    'Rows from before these foreign keys were never checked; run ALTER TABLE ... VALIDATE CONSTRAINT ...'
),
(
    'schema', 'domains_reference_campaigns', '{legacy,dual,expanded,migrated}', 'WARN', 'SELECT 1',
    $q$
    SELECT 'generated_domains.domain_generation_campaign_id'::text AS key
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_constraint AS c
        INNER JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
        WHERE c.contype = 'f' AND a.attname = 'domain_generation_campaign_id'
            AND c.conrelid = 'generated_domains'::regclass
            AND c.confrelid = 'campaigns'::regclass
    )
    $q$,
    'No foreign key keeps domains and campaigns together'
),
(
    'schema', 'legacy_indexes_removed', '{migrated}', 'FAIL', 'SELECT 3',
    $q$
    SELECT c.relname AS key FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('i', 'I')
        AND c.relname IN ('idx_campaigns_campaign_type', 'idx_campaigns_status', 'idx_campaigns_launch_sequence')
    $q$,
    'Indexes of the legacy model are still there; drop them with DROP INDEX CONCURRENTLY'
),
(
    'schema', 'indexes_valid', '{legacy,dual,expanded,migrated}', 'WARN',
    $q$
    SELECT count(*) FROM pg_index
    WHERE indrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)
    $q$,
    $q$
    SELECT indexrelid::regclass::text AS key FROM pg_index
    WHERE indrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)
        AND NOT (indisvalid AND indisready AND indislive)
    $q$,
    'These indexes take writes and serve no query; run REINDEX INDEX CONCURRENTLY or DROP INDEX CONCURRENTLY'
),
(
    'schema', 'views_present', '{migrated}', 'FAIL', 'SELECT 1',
    $q$
    SELECT wanted.name AS key FROM (VALUES ('campaign_performance_metrics')) AS wanted (name)
    WHERE to_regclass(format('%I.%I', current_schema(), wanted.name)) IS NULL
    $q$,
    'Views of the migration are missing; run 000035_eliminate_dual_architecture.up.sql again'
);

-- Which indexes are wanted, 000036 itself says.
INSERT INTO pg_temp.migration_checks (suite, name, states, severity, total_query, bad_query, advice, skip_reason)
SELECT
    'schema', 'critical_indexes_present', '{migrated}',
    CASE
        WHEN to_regclass(format('%I.phases_index_performance', current_schema())) IS NULL THEN 'WARN'
        ELSE 'FAIL'
    END,
    'SELECT count(*) FROM phases_index_definitions()',
    $q$
    SELECT wanted.index_name || CASE
        WHEN i.indexrelid IS NULL THEN ' (missing)'
        WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN ' (invalid)'
        ELSE ' (another definition)'
    END AS key
    FROM phases_index_definitions() AS wanted
    LEFT JOIN pg_index AS i ON i.indexrelid = to_regclass(format('%I.%I', current_schema(), wanted.index_name))
    WHERE i.indexrelid IS NULL
        OR NOT (i.indisvalid AND i.indisready AND i.indislive)
        OR wanted.definition <> replace(
            replace(regexp_replace(pg_get_indexdef(i.indexrelid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'), ' ON ONLY ', ' ON '), format(' ON %I.', current_schema()), ' ON '
        )
    $q$,
    'Run 000036_optimize_phases_indexes.up.sql; an invalid index needs REINDEX INDEX CONCURRENTLY first',
    CASE
        WHEN to_regprocedure(format('%I.phases_index_definitions()', current_schema())) IS NULL
            THEN '000036_optimize_phases_indexes.up.sql has not run yet'
    END;

-- The values: what is legal, what agrees, what adds up.
INSERT INTO pg_temp.migration_checks (suite, name, states, severity, total_query, bad_query, note_query, advice)
VALUES
(
    'values', 'campaign_types_known', '{legacy,dual,expanded}', 'FAIL', 'SELECT count(*) FROM campaigns',
    $q$
    SELECT format('%s (%s)', id, coalesce(campaign_type::text, 'NULL')) AS key FROM campaigns
    WHERE migration_map_current_phase(campaign_type::text) IS NULL
    $q$,
    NULL,
    'Nothing maps these values of campaign_type; correct the rows or give a mapping (--map-campaign-type)'
),
(
    'values', 'statuses_known', '{legacy,dual,expanded}', 'FAIL', 'SELECT count(*) FROM campaigns',
    $q$
    SELECT format('%s (%s)', id, coalesce(status::text, 'NULL')) AS key FROM campaigns
    WHERE migration_map_phase_status(status::text) IS NULL
    $q$,
    NULL,
    'Nothing maps these values of status; correct the rows or give a mapping (--map-status)'
),
(
    'values', 'phases_legal', '{dual,expanded,migrated}', 'FAIL', 'SELECT count(*) FROM campaigns WHERE current_phase IS NOT NULL',
    $q$
    SELECT format('%s (%s)', id, current_phase) AS key FROM campaigns
    WHERE current_phase::text NOT IN ('setup', 'generation', 'dns_validation', 'http_keyword_validation', 'analysis')
    $q$,
    NULL,
    'These rows are in a phase that does not exist'
),
(
    'values', 'phase_statuses_legal', '{dual,expanded,migrated}', 'FAIL', 'SELECT count(*) FROM campaigns WHERE phase_status IS NOT NULL',
    $q$
    SELECT format('%s (%s)', id, phase_status) AS key FROM campaigns
    WHERE phase_status::text NOT IN ('not_started', 'in_progress', 'paused', 'completed', 'failed')
    $q$,
    NULL,
    'These rows have a phase status that does not exist'
),
(
    'values', 'phases_columns_populated', '{expanded,migrated}',
    CASE current_setting('migration.validated_state') WHEN 'migrated' THEN 'FAIL' ELSE 'WARN' END,
    'SELECT count(*) FROM campaigns',
    $q$
    SELECT id::text AS key FROM campaigns
    WHERE num_nulls(current_phase, phase_status, progress, domains, leads, dns_validated_domains, http_validated_domains) > 0
    $q$,
    NULL,
    'These rows lack phases values; run migrate-campaign-data.sql'
),
(
    'values', 'phase_status_consistency', '{dual,expanded,migrated}', 'FAIL', 'SELECT count(*) FROM campaigns',
    'SELECT id::text AS key FROM campaigns WHERE (current_phase IS NULL) <> (phase_status IS NULL)',
    $q$
    SELECT 'Campaigns by phase and status: ' || string_agg(format('%s/%s %s', phase, status, campaigns), ', ')
    FROM (
        SELECT coalesce(current_phase::text, 'NULL') AS phase, coalesce(phase_status::text, 'NULL') AS status, count(*) AS campaigns
        FROM campaigns GROUP BY 1, 2 ORDER BY 1, 2
    ) AS pairs
    $q$,
    'One of phase and status is missing in these rows'
),
(
    'values', 'both_models_agree', '{dual,expanded}',
    CASE current_setting('migration.validated_state') WHEN 'expanded' THEN 'FAIL' ELSE 'WARN' END,
    'SELECT count(*) FROM campaigns WHERE current_phase IS NOT NULL OR phase_status IS NOT NULL',
    $q$
    SELECT format('%s (%s/%s, %s/%s)', id, campaign_type, status, current_phase, phase_status) AS key FROM campaigns
    WHERE (current_phase IS NOT NULL AND coalesce(campaign_type::text, '') NOT IN ('comprehensive', 'automated')
            AND migration_map_current_phase(campaign_type::text) IS DISTINCT FROM current_phase::text
            AND NOT (current_setting('migration.validated_state') = 'expanded'
                AND migration_map_campaign_type(current_phase::text) IS NOT DISTINCT FROM campaign_type::text))
        OR (phase_status IS NOT NULL AND migration_map_phase_status(status::text) IS DISTINCT FROM phase_status::text
            AND NOT (current_setting('migration.validated_state') = 'expanded'
                AND migration_map_status(phase_status::text) IS NOT DISTINCT FROM status::text))
    $q$,
    NULL,
    'Phases contradict the legacy values; the migration asks which side wins (--prefer)'
),
(
    'values', 'progress_in_range', '{dual,expanded,migrated}', 'FAIL', 'SELECT count(*) FROM campaigns WHERE progress IS NOT NULL',
    'SELECT format(''%s (%s)'', id, progress) AS key FROM campaigns WHERE NOT progress BETWEEN 0 AND 100',
    NULL,
    'Progress must lie between 0 and 100'
);

-- The metrics: one pass over generated_domains counts all four of every campaign.
INSERT INTO pg_temp.migration_checks (suite, name, states, severity, needs, total_query, bad_query, advice)
SELECT
    'values', 'metrics_match_recount', '{dual,expanded,migrated}',
    CASE current_setting('migration.validated_state') WHEN 'dual' THEN 'WARN' ELSE 'FAIL' END,
    CASE current_setting('migration.validated_state') WHEN 'dual' THEN '{}'::text [] ELSE '{campaign_metrics_baseline}' END,
    'SELECT count(*) FROM campaigns' || uncounted.condition,
    $q$
    SELECT concat_ws(
        ' ', c.id,
        CASE WHEN c.domains IS DISTINCT FROM coalesce(d.domains, 0)
            THEN format('(domains %s, counted %s)', c.domains, coalesce(d.domains, 0)) END,
        CASE WHEN c.dns_validated_domains IS DISTINCT FROM coalesce(d.dns, 0)
            THEN format('(dns_validated_domains %s, counted %s)', c.dns_validated_domains, coalesce(d.dns, 0)) END,
        CASE WHEN c.http_validated_domains IS DISTINCT FROM coalesce(d.http, 0)
            THEN format('(http_validated_domains %s, counted %s)', c.http_validated_domains, coalesce(d.http, 0)) END,
        CASE WHEN c.leads IS DISTINCT FROM coalesce(d.leads, 0)
            THEN format('(leads %s, counted %s)', c.leads, coalesce(d.leads, 0)) END
    ) AS key
    FROM (SELECT * FROM campaigns$q$ || uncounted.condition || $q$) AS c
    LEFT JOIN (
        SELECT
            domain_generation_campaign_id AS id,
            count(*) AS domains,
            count(*) FILTER (WHERE dns_status = 'ok') AS dns,
            count(*) FILTER (WHERE http_status = 'ok') AS http,
            count(*) FILTER (WHERE lead_score > 0) AS leads
        FROM generated_domains
        GROUP BY domain_generation_campaign_id
    ) AS d ON d.id = c.id
    WHERE (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
        IS DISTINCT FROM (coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0))
    $q$,
    'Stored metrics differ from a recount; something wrote generated_domains past the triggers; flows.validate --repair-metrics writes it'
FROM (
    SELECT
        CASE current_setting('migration.validated_state')
            WHEN 'dual' THEN ''
            ELSE ' WHERE NOT EXISTS (SELECT 1 FROM campaign_metrics_baseline AS b WHERE b.campaign_id = campaigns.id)'
        END AS condition
) AS uncounted;

INSERT INTO pg_temp.migration_checks (suite, name, states, needs, total_query, bad_query, advice)
VALUES
(
    'values', 'metric_changes_folded', '{migrated}', '{campaign_metric_changes,campaign_metrics_baseline}',
    'SELECT (SELECT count(*) FROM campaign_metric_changes) + (SELECT count(*) FROM campaign_metrics_baseline)',
    $q$
    SELECT format('%s (transaction %s)', campaign_id, transaction_id) AS key FROM campaign_metric_changes
    UNION ALL
    SELECT format('%s (never counted)', campaign_id) FROM campaign_metrics_baseline
    $q$,
    'Committed changes of domains have not reached their campaigns'
);

-- Relations between rows.
INSERT INTO pg_temp.migration_checks (suite, name, states, total_query, bad_query, advice)
VALUES
(
    'relations', 'no_orphaned_domains', '{legacy,dual,expanded,migrated}', 'SELECT count(*) FROM generated_domains',
    $q$
    SELECT gd.id::text AS key
    FROM generated_domains AS gd
    LEFT JOIN campaigns AS c ON gd.domain_generation_campaign_id = c.id
    WHERE c.id IS NULL
    $q$,
    'These domains belong to no campaign; delete them or give them one'
);

-- The users table is the one that campaigns.user_id references, else public.users or auth.users.
INSERT INTO pg_temp.migration_checks (suite, name, states, total_query, bad_query, advice, skip_reason)
SELECT
    'relations', 'campaigns_have_valid_users', '{legacy,dual,expanded,migrated}', 'SELECT count(*) FROM campaigns',
    CASE count(*)
        WHEN 1 THEN format(
            'SELECT format(''%%s (user %%s)'', c.id, coalesce(c.user_id::text, ''NULL'')) AS key FROM campaigns AS c'
            ' WHERE NOT EXISTS (SELECT 1 FROM %s AS u WHERE u.%I = c.user_id)',
            min(candidates.users::text), min(candidates.key_column)
        )
        ELSE format('SELECT unnest(%L::text[]) AS key', array_agg(candidates.users::text))
    END,
    CASE count(*)
        WHEN 1 THEN 'These campaigns have no user, or one that is gone; give them a user'
        ELSE 'More than one table may hold the users; a foreign key on campaigns.user_id would decide'
    END,
    CASE count(*) WHEN 0 THEN 'campaigns.user_id references nothing, and there is neither public.users nor auth.users' END
FROM (
    SELECT DISTINCT c.confrelid::regclass AS users, referenced.attname::text AS key_column
    FROM pg_catalog.pg_constraint AS c
    INNER JOIN pg_catalog.pg_attribute AS own ON own.attrelid = c.conrelid AND c.conkey = ARRAY[own.attnum]
    INNER JOIN pg_catalog.pg_attribute AS referenced
        ON referenced.attrelid = c.confrelid AND c.confkey = ARRAY[referenced.attnum]
    WHERE c.contype = 'f' AND own.attname = 'user_id' AND c.conrelid = 'campaigns'::regclass
    UNION
    SELECT to_regclass(fallback.name), 'id'
    FROM (VALUES ('public.users'), ('auth.users')) AS fallback (name)
    WHERE to_regclass(fallback.name) IS NOT NULL
        AND NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_constraint AS c
            INNER JOIN pg_catalog.pg_attribute AS own ON own.attrelid = c.conrelid AND c.conkey = ARRAY[own.attnum]
            WHERE c.contype = 'f' AND own.attname = 'user_id'
                AND c.conrelid = 'campaigns'::regclass
        )
) AS candidates;

-- Against the backup. A row whose updated_at is as it was then is untouched and judged; one that changed since is only
-- counted. Without a trigger that stamps updated_at that distinction is a guess, and a difference only a warning.
INSERT INTO pg_temp.migration_checks (
    suite, name, states, needs, severity, total_query, bad_query, note_query, advice
)
SELECT
    'preservation', judged.name, '{expanded,migrated}',
    ARRAY['campaigns_pre_migration_backup'] || judged.needs,
    coalesce(judged.severity, stamped.severity),
    judged.total_query, judged.bad_query,
    CASE
        WHEN judged.compares THEN
            $q$
            SELECT format(
                '%s changed since and not judged',
                count(*) FILTER (WHERE c.updated_at IS DISTINCT FROM b.updated_at)
            )
            FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
            $q$
        ELSE judged.note_query
    END,
    judged.advice
FROM (
    SELECT
        CASE
            WHEN EXISTS (
                SELECT 1
                FROM pg_catalog.pg_trigger AS t
                INNER JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
                WHERE t.tgrelid = 'campaigns'::regclass
                    AND NOT t.tgisinternal AND t.tgenabled <> 'D'
                    AND t.tgtype & 19 = 19 -- BEFORE UPDATE FOR EACH ROW
                    AND t.tgname !~ '^zz[yz]_'
                    AND concat(p.prosrc, pg_get_triggerdef(t.oid)) ~ '\mupdated_at\M'
            ) THEN 'FAIL'
            ELSE 'WARN'
        END AS severity,
        -- Columns that both tables have, of one type, and that this migration does not define.
        (
            SELECT format(
                'ROW(%s)::text IS DISTINCT FROM ROW(%s)::text',
                string_agg(format('c.%I', now.attname), ', ' ORDER BY now.attnum),
                string_agg(format('b.%I', now.attname), ', ' ORDER BY now.attnum)
            )
            FROM pg_catalog.pg_attribute AS now
            INNER JOIN pg_catalog.pg_attribute AS saved
                ON saved.attrelid = to_regclass(format('%I.campaigns_pre_migration_backup', current_schema()))
                AND saved.attname = now.attname AND saved.atttypid = now.atttypid AND NOT saved.attisdropped
            WHERE now.attrelid = 'campaigns'::regclass
                AND now.attnum > 0 AND NOT now.attisdropped
                AND now.attname NOT IN (
                    'updated_at', 'campaign_type', 'status', 'launch_sequence', 'current_phase', 'phase_status', 'progress',
                    'domains', 'leads', 'dns_validated_domains', 'http_validated_domains'
                )
        ) AS others_differ,
        -- Phases that were there before stay.
        CASE
            WHEN EXISTS (
                SELECT 1 FROM pg_catalog.pg_attribute
                WHERE attrelid = to_regclass(format('%I.campaigns_pre_migration_backup', current_schema()))
                    AND attname = 'current_phase' AND NOT attisdropped
            ) THEN ' AND b.current_phase IS DISTINCT FROM c.current_phase'
            ELSE ''
        END AS phase_is_new
) AS stamped
CROSS JOIN LATERAL (
    VALUES
    (
        'legacy_values_mapped', '{migration_legacy_values}'::text [], NULL, true,
        $q$
        SELECT count(*) FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        WHERE c.updated_at IS NOT DISTINCT FROM b.updated_at
        $q$,
        $q$
        SELECT format(
            '%s (%s/%s became %s/%s)',
            c.id, coalesce(v.campaign_type, 'NULL'), coalesce(v.status, 'NULL'), c.current_phase, c.phase_status
        ) AS key
        FROM campaigns AS c
        INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        INNER JOIN migration_legacy_values AS v ON v.campaign_id = c.id
        WHERE c.updated_at IS NOT DISTINCT FROM b.updated_at
            AND (migration_map_phase_status(v.status) IS DISTINCT FROM c.phase_status::text
                OR (migration_map_current_phase(v.campaign_type) IS DISTINCT FROM c.current_phase::text$q$
        || stamped.phase_is_new || '))',
        NULL, 'Phase or status is not what the legacy value maps to'
    ),
    (
        'legacy_values_kept', '{migration_legacy_values}', NULL, true,
        $q$
        SELECT count(*) FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        $q$,
        $q$
        SELECT c.id::text AS key
        FROM campaigns AS c
        INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id
        WHERE v.campaign_id IS NULL
            OR (c.updated_at IS NOT DISTINCT FROM b.updated_at AND v.status IS DISTINCT FROM b.status::text
                AND migration_map_phase_status(b.status::text) = c.phase_status::text)
            OR (c.updated_at IS NOT DISTINCT FROM b.updated_at AND v.campaign_type IS DISTINCT FROM b.campaign_type::text
                AND migration_map_current_phase(b.campaign_type::text) = c.current_phase::text)
        $q$,
        NULL, 'The way back would not find the legacy values of these campaigns'
    ),
    (
        'progress_follows_formula', '{}', NULL, false,
        $q$
        SELECT count(*) FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        WHERE c.updated_at IS NOT DISTINCT FROM b.updated_at
            AND (c.phase_status IN ('completed', 'failed', 'not_started') OR c.current_phase = 'setup')
        $q$,
        $q$
        SELECT format('%s (%s/%s has progress %s)', c.id, c.current_phase, c.phase_status, c.progress) AS key
        FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        WHERE c.updated_at IS NOT DISTINCT FROM b.updated_at
            AND (c.phase_status IN ('completed', 'failed', 'not_started') OR c.current_phase = 'setup')
            AND c.progress IS DISTINCT FROM migration_map_progress(
                c.current_phase::text, c.phase_status::text, c.progress_percentage,
                c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads
            )
        $q$,
        $q$
        SELECT format(
            'Of the untouched campaigns under way %s have the progress that today''s metrics give, %s have an earlier one',
            count(*) FILTER (WHERE follows), count(*) FILTER (WHERE NOT follows)
        )
        FROM (
            SELECT c.progress = migration_map_progress(
                c.current_phase::text, c.phase_status::text, c.progress_percentage,
                c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads
            ) AS follows
            FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
            WHERE c.updated_at IS NOT DISTINCT FROM b.updated_at
                AND c.phase_status IN ('in_progress', 'paused') AND c.current_phase <> 'setup'
        ) AS under_way
        $q$,
        'Progress is not what the formula gives'
    ),
    (
        'other_columns_unchanged', '{}', NULL, true,
        $q$
        SELECT count(*) FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        WHERE c.updated_at IS NOT DISTINCT FROM b.updated_at
        $q$,
        $q$
        SELECT c.id::text AS key FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        WHERE c.updated_at IS NOT DISTINCT FROM b.updated_at AND ($q$ || stamped.others_differ || ')',
        NULL, 'Values changed that the migration has nothing to do with'
    ),
    (
        -- Rows stamped between the backup and the contract that differ in nothing but updated_at, several with the same new
        -- value: a statement over many rows stamped them. The application stamps a row when it changes something in it.
        'updated_at_kept', '{migration_legacy_values,migration_saved_objects}', 'FAIL', false,
        'SELECT count(*) FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id',
        $q$
        SELECT format('%s (%s, was %s)', stamps.id, stamps.updated_at, stamps.was) AS key
        FROM (
            SELECT c.id, c.updated_at, b.updated_at AS was, count(*) OVER (PARTITION BY c.updated_at) AS rows_alike
            FROM campaigns AS c
            INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
            INNER JOIN migration_legacy_values AS v ON v.campaign_id = c.id
            WHERE c.updated_at IS DISTINCT FROM b.updated_at AND NOT ($q$ || stamped.others_differ || $q$)
                AND c.updated_at >= (SELECT min(recorded_at) FROM migration_saved_objects WHERE kind = 'backup')
                AND c.updated_at <= coalesce(
                    (SELECT max(recorded_at) FROM migration_saved_objects WHERE kind = 'contracted'), now()
                )
                AND v.campaign_type IS NOT DISTINCT FROM b.campaign_type::text
                AND v.status IS NOT DISTINCT FROM b.status::text
                AND v.launch_sequence::text IS NOT DISTINCT FROM (to_jsonb(b) ->> 'launch_sequence')
                AND migration_map_current_phase(v.campaign_type) IS NOT DISTINCT FROM c.current_phase::text
                AND migration_map_phase_status(v.status) IS NOT DISTINCT FROM c.phase_status::text
        ) AS stamps
        WHERE stamps.rows_alike > 1
        $q$,
        $q$
        SELECT format(
            '%s have another updated_at than in the backup', count(*) FILTER (WHERE c.updated_at IS DISTINCT FROM b.updated_at)
        )
        FROM campaigns AS c INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        $q$,
        'updated_at changed during the migration and nothing else did: something other than the application stamped these rows'
    ),
    (
        'campaigns_preserved', '{}', 'WARN', false,
        'SELECT count(*) FROM campaigns_pre_migration_backup',
        $q$
        SELECT b.id::text AS key FROM campaigns_pre_migration_backup AS b
        WHERE NOT EXISTS (SELECT 1 FROM campaigns AS c WHERE c.id = b.id)
        $q$,
        $q$
        SELECT format(
            '%s campaigns now, %s in the backup, %s created since',
            (SELECT count(*) FROM campaigns), (SELECT count(*) FROM campaigns_pre_migration_backup),
            (SELECT count(*) FROM campaigns AS c WHERE NOT EXISTS (
                SELECT 1 FROM campaigns_pre_migration_backup AS b WHERE b.id = c.id
            ))
        )
        $q$,
        'These campaigns were deleted since the backup; the migration deletes none'
    )
) AS judged (name, needs, severity, compares, total_query, bad_query, note_query, advice);

INSERT INTO pg_temp.migration_checks (suite, name, states, needs, total_query, bad_query, advice)
VALUES
(
    'preservation', 'backup_tables_preserved', '{expanded,migrated}', '{}', 'SELECT 2',
    $q$
    SELECT wanted.name AS key FROM (VALUES ('campaigns_backup_000035'), ('campaigns_pre_migration_backup')) AS wanted (name)
    WHERE to_regclass(format('%I.%I', current_schema(), wanted.name)) IS NULL
    $q$,
    'Backup tables are missing; rollback-data.sql has nothing to restore from'
),
(
    'preservation', 'backup_rows_preserved', '{expanded,migrated}',
    '{campaigns_backup_000035,campaigns_pre_migration_backup,migration_saved_objects}', 'SELECT 2',
    $q$
    SELECT format('%s (%s rows, %s recorded)', counted.name, counted.campaigns, s.definition) AS key
    FROM (
        SELECT 'campaigns_backup_000035' AS name, count(*) AS campaigns FROM campaigns_backup_000035
        UNION ALL
        SELECT 'campaigns_pre_migration_backup', count(*) FROM campaigns_pre_migration_backup
    ) AS counted
    LEFT JOIN migration_saved_objects AS s ON s.kind = 'backup' AND s.identity = counted.name
    WHERE s.definition IS DISTINCT FROM format('%s campaigns', counted.campaigns)
    $q$,
    'A backup table does not hold what was put into it'
),
(
    'preservation', 'saved_objects_recorded', '{migrated}', '{migration_saved_objects}', 'SELECT 2',
    $q$
    SELECT wanted.name AS key FROM (VALUES ('campaign_type'), ('status')) AS wanted (name)
    WHERE NOT EXISTS (
        SELECT 1 FROM migration_saved_objects AS s
        WHERE s.kind = 'column' AND s.identity = wanted.name AND s.create_statement IS NOT NULL
    )
    $q$,
    'The way back does not know how to bring these columns back'
);

-- A search for words in the sources of functions, no more: it may name a function that means another table's status, and
-- misses what builds its SQL from pieces.
INSERT INTO pg_temp.migration_checks (suite, name, states, severity, total_query, bad_query, note_query, advice)
VALUES
(
    'application', 'functions_name_no_legacy_columns', '{legacy,dual,expanded,migrated}', 'WARN',
    $q$
    SELECT count(*) FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(temp|toast)'
    $q$,
    $q$
    SELECT p.oid::regprocedure::text AS key
    FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(temp|toast)'
        AND NOT (n.nspname = current_schema() AND p.proname ~ '^(migration_|campaigns_keep_row$|phases_index_definitions$)')
        AND NOT EXISTS (
            SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
        AND (p.prosrc ~ '\m(campaign_type|launch_sequence)\M'
            OR (p.prosrc ~ '\mstatus\M' AND (
                p.prosrc ~ '\mcampaigns\M'
                OR EXISTS (
                    SELECT 1 FROM pg_trigger AS t
                    WHERE t.tgfoid = p.oid AND t.tgrelid = 'campaigns'::regclass
                )
            )))
    $q$,
    $q$SELECT 'Found by a search for words, which may name too many or too few'::text$q$,
    'These functions seem to name legacy columns; they fail once the columns are gone'
);

-- Every check in turn. One that cannot run is a FAIL that says why, and the others go on.
DO $run$
DECLARE
    state CONSTANT text := current_setting('migration.validated_state');
    run CONSTANT uuid := coalesce(nullif(current_setting('migration.run_id', true), '')::uuid, gen_random_uuid());
    run_started CONSTANT timestamptz := clock_timestamp();
    started timestamptz;
    "check" record;
    missing text;
    total bigint;
    invalid bigint;
    examples text;
    note text;
    verdict text;
    explanation text;
BEGIN
    PERFORM set_config('migration.validated_run', run::text || ' ' || run_started::text, false);
    -- A policy that hides rows is an error then, not a smaller count.
    PERFORM set_config('row_security', 'off', true);
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '10s', true);
    END IF;
    FOR "check" IN SELECT * FROM pg_temp.migration_checks ORDER BY ordinal LOOP
        RAISE DEBUG '% of %', "check".ordinal, (SELECT count(*) FROM pg_temp.migration_checks);
        started := clock_timestamp();
        total := NULL;
        invalid := NULL;
        examples := NULL;
        note := NULL;
        SELECT string_agg(needed, ', ') INTO missing
        FROM unnest("check".needs) AS needed
        WHERE to_regclass(format('%I.%I', current_schema(), needed)) IS NULL;
        IF state <> ALL ("check".states) THEN
            verdict := 'SKIPPED';
            explanation := format(
                'Applies to a database in state %s; this one is %s', array_to_string("check".states, ' or '), state
            );
        ELSIF "check".skip_reason IS NOT NULL THEN
            verdict := 'SKIPPED';
            explanation := "check".skip_reason;
        ELSIF missing IS NOT NULL THEN
            -- The migration made these; that they are gone is a finding, not an excuse.
            verdict := 'FAIL';
            explanation := format('Could not run: schema %s has no %s', current_schema(), missing);
        ELSE
            BEGIN
                EXECUTE "check".total_query INTO total;
                EXECUTE format(
                    'SELECT count(*), string_agg(numbered.key, ''; '') FILTER (WHERE numbered.ordinal <= 20)'
                    ' FROM (SELECT bad.key, row_number() OVER () AS ordinal FROM (%s) AS bad) AS numbered',
                    "check".bad_query
                ) INTO invalid, examples;
                IF "check".note_query IS NOT NULL THEN
                    EXECUTE "check".note_query INTO note;
                END IF;
                verdict := CASE WHEN invalid = 0 THEN 'PASS' ELSE "check".severity END;
                explanation := concat_ws(
                    '. ',
                    CASE WHEN invalid > 0 THEN format('%s: %s', "check".advice, examples) END,
                    CASE WHEN invalid > 20 THEN format('%s more', invalid - 20) END,
                    note
                );
            EXCEPTION WHEN OTHERS THEN
                verdict := 'FAIL';
                explanation := format('Could not run (%s): %s', SQLSTATE, SQLERRM);
                total := NULL;
                invalid := NULL;
            END;
        END IF;
        INSERT INTO migration_validation_results (
            run_id, validation_timestamp, suite, test_name, total_records, valid_records, invalid_records, success_rate,
            status, execution_time_ms, details, query
        )
        VALUES (
            run, run_started, "check".suite, "check".name, greatest(total, invalid), greatest(total, invalid) - invalid, invalid,
            CASE
                WHEN greatest(total, invalid) = 0 THEN 100
                ELSE trunc(100.0 * (greatest(total, invalid) - invalid) / greatest(total, invalid), 2)
            END,
            verdict, extract(EPOCH FROM clock_timestamp() - started) * 1000, explanation,
            btrim(regexp_replace("check".bad_query, '\s+', ' ', 'g'))
        );
    END LOOP;
END
$run$;

-- block: hand_over
-- What this migration has made belongs to the owner of campaigns, so that triggers and functions work on when the role that ran
-- it loses its rights or is gone, and none of them runs with more rights than the tables' owner has. It grants nothing to
-- PUBLIC, whatever default privileges say. Where the owner may not be given it, it stays with the role that made it: row level
-- security that is forced on an owner who does not bypass it would keep the metrics from being written.
DO $block$
DECLARE
    home CONSTANT oid := quote_ident(current_schema())::regnamespace;
    unlimited CONSTANT boolean := current_setting('lock_timeout') = '0';
    keeper name;
    made record;
BEGIN
    SELECT r.rolname INTO keeper
    FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
    WHERE c.oid = to_regclass(format('%I.campaigns', current_schema())) AND r.rolname <> current_user
      AND pg_has_role(r.oid, 'MEMBER')
      AND (has_schema_privilege(r.oid, home, 'CREATE') OR (SELECT u.rolsuper FROM pg_roles AS u WHERE u.rolname = current_user))
      AND has_table_privilege(r.oid, to_regclass(format('%I.generated_domains', current_schema())), 'SELECT')
      AND (r.rolsuper OR r.rolbypassrls OR NOT EXISTS (
            SELECT FROM pg_class AS f
            WHERE f.oid IN (c.oid, to_regclass(format('%I.generated_domains', current_schema()))) AND f.relforcerowsecurity));
    IF unlimited THEN
        PERFORM set_config('lock_timeout', '900ms', true);
    END IF;
    FOR made IN
        SELECT c.oid::regclass AS relation, c.relkind, pg_get_userbyid(c.relowner) AS owner,
            EXISTS (SELECT FROM aclexplode(c.relacl) AS g WHERE g.grantee = 0)
            -- Some follow the grants on campaigns.
            AND NOT (c.relname IN ('campaigns_with_legacy_columns', 'campaigns_with_legacy_columns_as_reader') AND EXISTS (
                SELECT FROM pg_class AS t CROSS JOIN LATERAL aclexplode(t.relacl) AS g
                WHERE t.oid = to_regclass(format('%I.campaigns', current_schema()))
                  AND g.grantee = 0 AND g.privilege_type = 'SELECT')) AS is_public
        FROM pg_class AS c
        WHERE c.relnamespace = home AND c.relkind IN ('r', 'v')
          AND obj_description(c.oid, 'pg_class') LIKE 'phases migration: %'
        UNION ALL
        SELECT s.oid::regclass, s.relkind, NULL, EXISTS (SELECT FROM aclexplode(s.relacl) AS g WHERE g.grantee = 0)
        FROM pg_class AS c
        JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.classid = 'pg_class'::regclass
        JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE c.relnamespace = home AND obj_description(c.oid, 'pg_class') LIKE 'phases migration: %'
    LOOP
        IF made.is_public THEN
            EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', CASE made.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                           made.relation);
        END IF;
        IF made.owner = current_user AND keeper IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s OWNER TO %I', made.relation, keeper);
        END IF;
    END LOOP;
    FOR made IN
        SELECT p.oid::regprocedure AS function, pg_get_userbyid(p.proowner) AS owner,
            (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) AS g WHERE g.grantee = 0))
            AND p.proname <> 'migration_kept_values' AS is_public  -- follows the grants on campaigns, too
        FROM pg_proc AS p
        WHERE p.pronamespace = home
          AND (p.proname LIKE 'migration\_%' OR p.proname LIKE 'campaign\_metrics\_%'
               OR p.proname IN ('campaigns_keep_row', 'phases_index_definitions', 'maintain_phases_indexes'))
          AND (p.proname = 'campaigns_keep_row' OR EXISTS (
                SELECT FROM unnest(p.proconfig) AS s (setting) WHERE s.setting LIKE 'search\_path=%pg\_temp'))
    LOOP
        IF made.is_public THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.function);
        END IF;
        IF made.owner = current_user AND keeper IS NOT NULL THEN
            EXECUTE format('ALTER FUNCTION %s OWNER TO %I', made.function, keeper);
        END IF;
    END LOOP;
    IF unlimited THEN
        PERFORM set_config('lock_timeout', '0', true);
    END IF;
END
$block$;
-- end block: hand_over

DO $verdict$
DECLARE
    failures text;
    tally text;
    checks bigint;
    failed bigint;
BEGIN
    SELECT
        count(*),
        count(*) FILTER (WHERE status = 'FAIL'),
        string_agg(format('%s (%s)', test_name, coalesce(invalid_records::text, 'could not run')), ', ' ORDER BY id)
            FILTER (WHERE status = 'FAIL')
    INTO checks, failed, failures
    FROM migration_validation_results
    WHERE format('%s %s', run_id, validation_timestamp) = current_setting('migration.validated_run');
    SELECT string_agg(format('%s %s', counted.how_many, counted.status), ', ' ORDER BY counted.status) INTO tally
    FROM (
        SELECT status, count(*) AS how_many FROM migration_validation_results
        WHERE format('%s %s', run_id, validation_timestamp) = current_setting('migration.validated_run')
        GROUP BY status
    ) AS counted;
    IF checks = 0 THEN
        RAISE EXCEPTION 'no check was recorded';
    ELSIF failed > 0 THEN
        RAISE EXCEPTION 'validation failed: % of % checks: %', failed, checks, failures
            USING HINT = 'SELECT * FROM migration_validation_report shows the rows and the queries.';
    END IF;
    RAISE NOTICE 'validation passed: %', tally;
END
$verdict$;
