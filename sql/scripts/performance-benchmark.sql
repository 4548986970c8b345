-- Measures the campaign database: ten query patterns and its statistics, kept in migration_performance_results.
-- Run it before and after the migration; the view migration_performance_comparison then sets both side by side.
-- The architecture is read from the catalog; SET migration.architecture_type = 'dual' or 'phases_based' overrides.
-- Other settings: migration.benchmark_rounds (9), migration.benchmark_seed (1), migration.benchmark_writes (on; what is
-- written is always rolled back), migration.target_improvement (40, percent), migration.run_id.

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

-- block: benchmark_definitions
DO $block$
DECLARE
    taken text;
BEGIN
    SELECT string_agg(format('%s %s', CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, c.relname), ', ') INTO taken
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
        AND c.relname IN ('migration_performance_results', 'migration_performance_comparison')
        AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %';
    IF taken IS NOT NULL THEN
        RAISE EXCEPTION 'names that this benchmark needs are taken: %', taken
            USING ERRCODE = 'duplicate_table', HINT = 'Rename them; nothing has been changed.';
    END IF;
END
$block$;

CREATE TABLE IF NOT EXISTS migration_performance_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    architecture_type text NOT NULL CHECK (architecture_type IN ('dual', 'phases_based')),
    test_name text NOT NULL,
    test_category text NOT NULL,
    execution_time_ms numeric(14, 4),
    rounds bigint NOT NULL DEFAULT 0,
    rows_returned bigint,
    blocks bigint,
    details jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE migration_performance_results IS 'phases migration: what each benchmark run measured; kept for ever';
COMMENT ON COLUMN migration_performance_results.execution_time_ms IS 'median over the rounds; NULL where nothing was timed';
COMMENT ON COLUMN migration_performance_results.blocks IS 'shared blocks hit and read, executed serially';

-- Which architecture is measured: what the catalog says, unless migration.architecture_type says otherwise. Saying what
-- cannot be is an error, not a measurement.
CREATE OR REPLACE FUNCTION migration_benchmark_architecture()
RETURNS text LANGUAGE plpgsql STABLE AS $function$
DECLARE
    wanted text := nullif(current_setting('migration.architecture_type', true), '');
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    legacy boolean;
    phases boolean;
BEGIN
    IF campaigns_oid IS NULL OR to_regclass(format('%I.generated_domains', current_schema())) IS NULL THEN
        RAISE EXCEPTION 'schema % has no tables campaigns and generated_domains', current_schema()
            USING ERRCODE = 'undefined_table',
                  HINT = 'Set search_path so that the schema of the campaign tables comes first.';
    END IF;
    SELECT count(*) FILTER (WHERE attname IN ('campaign_type', 'status')) = 2,
           count(*) FILTER (WHERE attname IN ('current_phase', 'phase_status', 'domains', 'leads',
                                              'dns_validated_domains', 'http_validated_domains')) = 6
    INTO legacy, phases
    FROM pg_attribute
    WHERE attrelid = campaigns_oid AND attnum > 0 AND NOT attisdropped;
    IF wanted IS NOT NULL AND wanted NOT IN ('dual', 'phases_based') THEN
        RAISE EXCEPTION 'migration.architecture_type is %, which is neither dual nor phases_based', quote_literal(wanted)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'RESET migration.architecture_type to read it from the catalog.';
    ELSIF coalesce(wanted, 'dual') = 'dual' AND legacy THEN
        RETURN 'dual';
    ELSIF coalesce(wanted, 'phases_based') = 'phases_based' AND phases THEN
        RETURN 'phases_based';
    ELSIF wanted IS NOT NULL THEN
        RAISE EXCEPTION 'migration.architecture_type is %, but campaigns lacks the columns of that architecture', wanted
            USING ERRCODE = 'undefined_column', HINT = 'RESET migration.architecture_type to read it from the catalog.';
    END IF;
    RAISE EXCEPTION 'campaigns has neither campaign_type and status nor all of the phases columns'
        USING ERRCODE = 'undefined_column', HINT = 'This is not a campaign database, or a migration of it was cut short.';
END
$function$;

-- The enum that a legacy column is of, itself or through domains.
CREATE OR REPLACE FUNCTION migration_benchmark_enum(column_name text)
RETURNS regtype LANGUAGE sql STABLE AS $function$
    WITH RECURSIVE below AS (
        SELECT t.oid, t.typtype, t.typbasetype
        FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE a.attrelid = to_regclass(format('%I.campaigns', current_schema())) AND a.attname = column_name
          AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype FROM below AS b JOIN pg_type AS t ON t.oid = b.typbasetype
    )
    SELECT oid::regtype FROM below WHERE typtype = 'e'
$function$;

-- A legacy column of campaigns AS c as values can be compared with it: no operator takes a domain over an enum.
CREATE OR REPLACE FUNCTION migration_benchmark_compared(column_name text)
RETURNS text LANGUAGE sql STABLE AS $function$
    SELECT concat(format('c.%I', column_name), '::' || migration_benchmark_enum(column_name))
$function$;

-- Every legacy value of a column, the known ones and those in the data, with what it maps to. An enum type holds only
-- some of the known ones, and naming another would be an error.
CREATE OR REPLACE FUNCTION migration_benchmark_legacy_values(column_name text)
RETURNS TABLE (legacy_value text, mapped text) LANGUAGE plpgsql STABLE AS $function$
DECLARE
    known text[] := CASE column_name
        WHEN 'campaign_type' THEN ARRAY['domain_generation', 'dns_validation', 'http_keyword_validation', 'analysis',
                                        'comprehensive', 'automated']
        WHEN 'status' THEN ARRAY['pending', 'queued', 'running', 'pausing', 'paused', 'completed', 'failed', 'archived',
                                 'cancelled']
    END;
    in_data text[] := '{}';
    labels text[];
BEGIN
    SELECT array_agg(e.enumlabel::text) INTO labels FROM pg_enum AS e WHERE e.enumtypid = migration_benchmark_enum(column_name);
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass(format('%I.campaigns', current_schema())) AND a.attname = column_name
          AND NOT a.attisdropped
    ) THEN
        EXECUTE format('SELECT array_agg(DISTINCT c.%1$I::text) FROM campaigns AS c', column_name) INTO in_data;
    END IF;
    RETURN QUERY
        SELECT v.value, CASE column_name WHEN 'campaign_type' THEN migration_map_current_phase(v.value)
                                         ELSE migration_map_phase_status(v.value) END
        FROM (SELECT unnest(known) AS value UNION SELECT unnest(in_data)) AS v
        WHERE labels IS NULL OR v.value IS NULL OR v.value = ANY (labels)
        ORDER BY 2, 1;
END
$function$;

-- SQL text over campaigns AS c: what a legacy column maps to, and whether it maps to one of the wanted values.
CREATE OR REPLACE FUNCTION migration_benchmark_mapped(column_name text)
RETURNS text LANGUAGE sql STABLE AS $function$
    SELECT 'CASE' || string_agg(
        CASE WHEN v.legacy_value IS NULL THEN format(' WHEN c.%I IS NULL THEN %L', column_name, v.mapped)
             ELSE format(' WHEN %s = %L THEN %L', migration_benchmark_compared(column_name), v.legacy_value, v.mapped) END,
        '' ORDER BY v.mapped, v.legacy_value) || ' END'
    FROM migration_benchmark_legacy_values(column_name) AS v
$function$;

CREATE OR REPLACE FUNCTION migration_benchmark_selects(column_name text, wanted text[])
RETURNS text LANGUAGE sql STABLE AS $function$
    SELECT coalesce(
        '(' || concat_ws(' OR ',
            format('%s IN (%s)', migration_benchmark_compared(column_name),
                string_agg(quote_literal(v.legacy_value), ', ' ORDER BY v.legacy_value)
                    FILTER (WHERE v.legacy_value IS NOT NULL)),
            CASE WHEN bool_or(v.legacy_value IS NULL) THEN format('c.%I IS NULL', column_name) END) || ')',
        'false')
    FROM migration_benchmark_legacy_values(column_name) AS v
    WHERE v.mapped = ANY (wanted)
$function$;

-- The one list of patterns. A legacy and a phases form ask the same question and return the same rows in the same order.
-- Their parameters: $1 uuid, a user; $2 timestamptz, the time that counts as now; $3 uuid[], campaigns in DNS validation;
-- $4 uuid, one large campaign; $5 bigint, more domains than this make a campaign a bulk one; $6 bigint, the same for
-- domains that passed the HTTP check. No form uses them all. The legacy model keeps no counters: its forms count, but only
-- for the campaigns that are shown, as a careful application did. Legacy values are mapped after filtering and grouping.
CREATE OR REPLACE FUNCTION migration_benchmark_patterns()
RETURNS TABLE (
    "position" integer, test_name text, test_category text, legacy_query text, phases_query text, writes boolean, note text
) LANGUAGE plpgsql STABLE AS $function$
DECLARE
    phase text := migration_benchmark_mapped('campaign_type');
    phase_status text := migration_benchmark_mapped('status');
    generation text := migration_benchmark_selects('campaign_type', '{generation}');
    dns_validation text := migration_benchmark_selects('campaign_type', '{dns_validation}');
    http_validation text := migration_benchmark_selects('campaign_type', '{http_keyword_validation}');
    in_progress text := migration_benchmark_selects('status', '{in_progress}');
    in_work text := migration_benchmark_selects('status', '{in_progress,paused}');
    on_dashboard text := migration_benchmark_selects('status', '{not_started,in_progress,completed}');
    dashboard_legacy text := format($query$
SELECT c.id, c.name, %1$s AS current_phase, %2$s AS phase_status, c.updated_at, d.domains, d.dns_validated_domains
FROM (SELECT c.id, c.name, c.campaign_type, c.status, c.updated_at
      FROM campaigns AS c
      WHERE c.user_id = $1::uuid AND %3$s
      ORDER BY c.updated_at DESC, c.id LIMIT 20) AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS domains, count(*) FILTER (WHERE g.dns_status = 'ok') AS dns_validated_domains
    FROM generated_domains AS g WHERE g.domain_generation_campaign_id = c.id) AS d
ORDER BY c.updated_at DESC, c.id$query$, phase, phase_status, on_dashboard);
    dashboard_phases text := $query$
SELECT c.id, c.name, c.current_phase, c.phase_status, c.updated_at, c.domains, c.dns_validated_domains
FROM campaigns AS c
WHERE c.user_id = $1::uuid AND c.phase_status IN ('not_started', 'in_progress', 'completed')
ORDER BY c.updated_at DESC, c.id LIMIT 20$query$;
    statistics_query text := $query$
SELECT t.relname::text AS table_name, sum(greatest(m.reltuples, 0))::bigint AS estimated_rows,
       sum(pg_table_size(m.oid))::bigint AS table_bytes, sum(pg_indexes_size(m.oid))::bigint AS index_bytes,
       (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = t.oid) AS indexes,
       sum(s.n_dead_tup)::bigint AS dead_rows, sum(s.n_mod_since_analyze)::bigint AS changed_since_analyze, max(greatest(s.last_vacuum, s.last_autovacuum)) AS last_vacuum,
       max(greatest(s.last_analyze, s.last_autoanalyze)) AS last_analyze,
       round(100 * sum(m.relallvisible)::numeric / nullif(sum(m.relpages), 0), 1) AS all_visible_percent,
       round(100 * sum(io.heap_blks_hit + io.idx_blks_hit)
             / nullif(sum(io.heap_blks_hit + io.idx_blks_hit + io.heap_blks_read + io.idx_blks_read), 0), 1) AS cache_hit_percent
FROM pg_class AS t
CROSS JOIN LATERAL (SELECT t.oid AS relid UNION SELECT p.relid FROM pg_partition_tree(t.oid) AS p) AS member
JOIN pg_class AS m ON m.oid = member.relid
LEFT JOIN pg_stat_user_tables AS s ON s.relid = m.oid
LEFT JOIN pg_statio_user_tables AS io ON io.relid = m.oid
WHERE t.relnamespace = to_regnamespace(quote_ident(current_schema())) AND t.relname IN ('campaigns', 'generated_domains')
GROUP BY t.oid, t.relname
ORDER BY t.relname$query$;
BEGIN
    RETURN QUERY VALUES
    (1, 'user_campaign_dashboard', 'campaign_queries', dashboard_legacy, dashboard_phases, false,
     'the 20 latest campaigns of a user that wait, run or are done, with their domains and those that passed the DNS check'),

    (2, 'campaign_type_filtering', 'campaign_queries', format($query$
SELECT c.id, c.name, %1$s AS phase_status, c.updated_at, d.domains, d.dns_validated_domains
FROM (SELECT c.id, c.name, c.status, c.updated_at
      FROM campaigns AS c
      WHERE %2$s AND %3$s
      ORDER BY c.updated_at DESC, c.id LIMIT 50) AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS domains, count(*) FILTER (WHERE g.dns_status = 'ok') AS dns_validated_domains
    FROM generated_domains AS g WHERE g.domain_generation_campaign_id = c.id) AS d
ORDER BY c.updated_at DESC, c.id$query$, phase_status, dns_validation, in_work), $query$
SELECT c.id, c.name, c.phase_status, c.updated_at, c.domains, c.dns_validated_domains
FROM campaigns AS c
WHERE c.current_phase = 'dns_validation' AND c.phase_status IN ('in_progress', 'paused')
ORDER BY c.updated_at DESC, c.id LIMIT 50$query$, false,
     'the 50 latest campaigns in DNS validation that run or are paused, with their domains and how many passed'),

    (3, 'campaign_status_aggregation', 'campaign_queries', format($query$
SELECT c.current_phase, c.phase_status, sum(c.campaigns)::bigint AS campaigns, sum(c.domains)::bigint AS domains,
       sum(c.dns_validated_domains)::bigint AS dns_validated_domains
FROM (SELECT %1$s AS current_phase, %2$s AS phase_status, c.campaigns, c.domains, c.dns_validated_domains
      FROM (SELECT c.campaign_type, c.status, count(*) AS campaigns, sum(d.domains) AS domains,
                   sum(d.dns_validated_domains) AS dns_validated_domains
            FROM campaigns AS c
            CROSS JOIN LATERAL (
                SELECT count(*) AS domains, count(*) FILTER (WHERE g.dns_status = 'ok') AS dns_validated_domains
                FROM generated_domains AS g WHERE g.domain_generation_campaign_id = c.id) AS d
            WHERE c.created_at >= $2::timestamptz - interval '30 days'
            GROUP BY c.campaign_type, c.status) AS c) AS c
GROUP BY c.current_phase, c.phase_status
ORDER BY c.current_phase, c.phase_status$query$, phase, phase_status), $query$
SELECT c.current_phase, c.phase_status, count(*) AS campaigns, sum(c.domains)::bigint AS domains,
       sum(c.dns_validated_domains)::bigint AS dns_validated_domains
FROM campaigns AS c
WHERE c.created_at >= $2::timestamptz - interval '30 days'
GROUP BY c.current_phase, c.phase_status
ORDER BY c.current_phase::text, c.phase_status::text$query$, false,
     'campaigns of the last 30 days by phase and status, with their domains and those that passed the DNS check'),

    (4, 'bulk_domain_generation', 'bulk_processing', format($query$
SELECT c.id, c.name, count(*) AS domains, count(*) FILTER (WHERE g.dns_status = 'pending') AS pending_dns,
       count(*) FILTER (WHERE g.http_status = 'pending') AS pending_http
FROM campaigns AS c
JOIN generated_domains AS g ON g.domain_generation_campaign_id = c.id
WHERE %1$s AND %2$s
GROUP BY c.id, c.name
HAVING count(*) > $5::bigint
ORDER BY domains DESC, c.id$query$, generation, in_progress), $query$
SELECT c.id, c.name, c.domains,
       (SELECT count(*) FROM generated_domains AS g
        WHERE g.domain_generation_campaign_id = c.id AND g.dns_status = 'pending') AS pending_dns,
       (SELECT count(*) FROM generated_domains AS g
        WHERE g.domain_generation_campaign_id = c.id AND g.http_status = 'pending') AS pending_http
FROM campaigns AS c
WHERE c.current_phase = 'generation' AND c.phase_status = 'in_progress' AND c.domains > $5::bigint
ORDER BY c.domains DESC, c.id$query$, false,
     'running generation campaigns that are large, with all their domains and those that wait for a DNS or HTTP check'),

    (5, 'bulk_validation_updates', 'bulk_processing', format($query$
WITH taken AS (
    SELECT g.id
    FROM campaigns AS c
    CROSS JOIN LATERAL (
        SELECT ceil(count(*) / 10.0)::bigint AS size
        FROM generated_domains AS p
        WHERE p.domain_generation_campaign_id = c.id AND p.dns_status = 'pending') AS batch
    CROSS JOIN LATERAL (
        SELECT p.id
        FROM generated_domains AS p
        WHERE p.domain_generation_campaign_id = c.id AND p.dns_status = 'pending'
        ORDER BY p.offset_index, p.id LIMIT batch.size) AS g
    WHERE c.id = ANY ($3::uuid[]) AND %1$s AND %2$s
), updated AS (
    UPDATE generated_domains AS g SET dns_status = 'ok', last_validated_at = $2::timestamptz
    FROM taken WHERE g.id = taken.id
    RETURNING g.domain_generation_campaign_id AS campaign_id
)
SELECT campaign_id, count(*) AS domains FROM updated GROUP BY campaign_id ORDER BY campaign_id$query$,
     dns_validation, in_progress), $query$
WITH taken AS (
    SELECT g.id
    FROM campaigns AS c
    CROSS JOIN LATERAL (
        SELECT ceil(count(*) / 10.0)::bigint AS size
        FROM generated_domains AS p
        WHERE p.domain_generation_campaign_id = c.id AND p.dns_status = 'pending') AS batch
    CROSS JOIN LATERAL (
        SELECT p.id
        FROM generated_domains AS p
        WHERE p.domain_generation_campaign_id = c.id AND p.dns_status = 'pending'
        ORDER BY p.offset_index, p.id LIMIT batch.size) AS g
    WHERE c.id = ANY ($3::uuid[]) AND c.current_phase = 'dns_validation' AND c.phase_status = 'in_progress'
), updated AS (
    UPDATE generated_domains AS g SET dns_status = 'ok', last_validated_at = $2::timestamptz
    FROM taken WHERE g.id = taken.id
    RETURNING g.domain_generation_campaign_id AS campaign_id
)
SELECT campaign_id, count(*) AS domains FROM updated GROUP BY campaign_id ORDER BY campaign_id$query$, true,
     'a tenth of the pending domains of five running DNS campaigns set to ok, metrics folded, then rolled back'),

    (6, 'lead_generation_analytics', 'bulk_processing', format($query$
SELECT c.id, c.name, count(*) FILTER (WHERE g.lead_score > 0) AS leads,
       round(avg(g.lead_score) FILTER (WHERE g.lead_score > 0), 2) AS average_score,
       max(g.lead_score) FILTER (WHERE g.lead_score > 0) AS highest_score
FROM campaigns AS c
JOIN generated_domains AS g ON g.domain_generation_campaign_id = c.id
WHERE c.updated_at >= $2::timestamptz - interval '7 days'
GROUP BY c.id, c.name
HAVING count(*) FILTER (WHERE g.http_status = 'ok') > $6::bigint
ORDER BY leads DESC, c.id$query$), $query$
SELECT c.id, c.name, c.leads,
       (SELECT round(avg(g.lead_score), 2) FROM generated_domains AS g
        WHERE g.domain_generation_campaign_id = c.id AND g.lead_score > 0) AS average_score,
       (SELECT max(g.lead_score) FROM generated_domains AS g
        WHERE g.domain_generation_campaign_id = c.id AND g.lead_score > 0) AS highest_score
FROM campaigns AS c
WHERE c.updated_at >= $2::timestamptz - interval '7 days' AND c.http_validated_domains > $6::bigint
ORDER BY c.leads DESC, c.id$query$, false,
     'campaigns of the last 7 days with many domains that passed the HTTP check: leads, average and highest score'),

    (7, 'campaign_type_index', 'index_performance', format($query$
SELECT c.id, c.name, %1$s AS phase_status, c.updated_at
FROM (SELECT c.id, c.name, c.status, c.updated_at
      FROM campaigns AS c
      WHERE %2$s
      ORDER BY c.updated_at DESC, c.id LIMIT 50) AS c
ORDER BY c.updated_at DESC, c.id$query$, phase_status, http_validation), $query$
SELECT c.id, c.name, c.phase_status, c.updated_at
FROM campaigns AS c
WHERE c.current_phase = 'http_keyword_validation'
ORDER BY c.updated_at DESC, c.id LIMIT 50$query$, false,
     'the 50 campaigns in HTTP validation that changed last'),

    (8, 'domain_fk_index', 'index_performance', $query$
SELECT count(*) AS domains, count(*) FILTER (WHERE g.dns_status = 'ok') AS dns_validated_domains,
       count(*) FILTER (WHERE g.http_status = 'ok') AS http_validated_domains,
       count(*) FILTER (WHERE g.dns_status = 'pending') AS pending_dns
FROM generated_domains AS g
WHERE g.domain_generation_campaign_id = $4$query$, $query$
SELECT c.domains, c.dns_validated_domains, c.http_validated_domains,
       (SELECT count(*) FROM generated_domains AS g
        WHERE g.domain_generation_campaign_id = c.id AND g.dns_status = 'pending') AS pending_dns
FROM campaigns AS c
WHERE c.id = $4$query$, false,
     'one large campaign: its domains, those that passed the DNS and HTTP checks, and those that wait for DNS'),

    (9, 'concurrent_user_dashboards', 'concurrent_access', dashboard_legacy, dashboard_phases, false,
     'ten users ask for their dashboards at once, each in a session of its own'),

    (10, 'large_result_set', 'memory_usage', format($query$
SELECT g.id, g.domain_name, g.lead_score, c.name, %1$s AS current_phase, %2$s AS phase_status
FROM (SELECT g.id, g.domain_name, g.lead_score, g.domain_generation_campaign_id
      FROM generated_domains AS g
      WHERE g.lead_score > 0
      ORDER BY g.lead_score DESC, g.id LIMIT 5000) AS g
JOIN campaigns AS c ON c.id = g.domain_generation_campaign_id
ORDER BY g.lead_score DESC, g.id$query$, phase, phase_status), $query$
SELECT g.id, g.domain_name, g.lead_score, c.name, c.current_phase, c.phase_status
FROM (SELECT g.id, g.domain_name, g.lead_score, g.domain_generation_campaign_id
      FROM generated_domains AS g
      WHERE g.lead_score > 0
      ORDER BY g.lead_score DESC, g.id LIMIT 5000) AS g
JOIN campaigns AS c ON c.id = g.domain_generation_campaign_id
ORDER BY g.lead_score DESC, g.id$query$, false,
     'the 5,000 best leads with their campaigns, sorted'),

    (11, 'database_statistics', 'system_metrics', statistics_query, statistics_query, false,
     'size, rows, indexes and cache use of both tables; recorded, not timed');
END
$function$;

-- What the patterns ask about, drawn from the data: busy users, large campaigns. It is the same for the same seed and
-- data, and after the migration that of the last dual run with this seed, or else of the first run after it. The limits of 10,000 domains and 1,000 checked
-- ones go down to what three campaigns reach, so that a small database gives an answer, too.
CREATE OR REPLACE FUNCTION migration_benchmark_inputs(seed integer)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $function$
DECLARE
    dual boolean := migration_benchmark_architecture() = 'dual';
    inputs jsonb;
BEGIN
    IF NOT dual THEN
        SELECT r.details -> 'inputs' INTO inputs
        FROM migration_performance_results AS r
        WHERE r.architecture_type = 'dual' AND r.details -> 'inputs' ->> 'seed' = seed::text
          AND r.details ->> 'database' = current_database()
        ORDER BY r.id DESC LIMIT 1;
        IF FOUND THEN
            RETURN inputs;
        END IF;
        -- Without one those of the first run, so that the questions stay the same over the years.
        SELECT r.details -> 'inputs' INTO inputs
        FROM migration_performance_results AS r
        WHERE r.architecture_type = 'phases_based' AND r.details -> 'inputs' ->> 'seed' = seed::text
          AND r.details ->> 'database' = current_database()
        ORDER BY r.id LIMIT 1;
        IF FOUND THEN
            RETURN inputs;
        END IF;
    END IF;
    EXECUTE format($query$
WITH counted AS MATERIALIZED (
    SELECT c.id, c.user_id, c.created_at, c.updated_at, %1$s AS current_phase, %2$s AS phase_status,
           coalesce(d.domains, 0) AS domains, coalesce(d.pending, 0) AS pending, coalesce(d.http, 0) AS http
    FROM campaigns AS c
    LEFT JOIN (
        SELECT g.domain_generation_campaign_id AS id, count(*) AS domains,
               count(*) FILTER (WHERE g.dns_status = 'pending') AS pending,
               count(*) FILTER (WHERE g.http_status = 'ok') AS http
        FROM generated_domains AS g GROUP BY g.domain_generation_campaign_id) AS d ON d.id = c.id
), reference AS (
    SELECT greatest(max(created_at), max(updated_at)) AS reference_time FROM counted
)
SELECT jsonb_build_object(
    'seed', $1,
    'reference_time', (SELECT reference_time FROM reference),
    'user_ids', coalesce((
        SELECT jsonb_agg(u.user_id ORDER BY u.draw, u.user_id) FROM (
            SELECT busy.user_id, md5(busy.user_id::text || $1) AS draw FROM (
                SELECT user_id FROM counted
                WHERE user_id IS NOT NULL AND phase_status IN ('not_started', 'in_progress', 'completed')
                GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT 30) AS busy
            ORDER BY draw, busy.user_id LIMIT 10) AS u), '[]'),
    'campaign_ids', coalesce((
        SELECT jsonb_agg(drawn.id ORDER BY drawn.id) FROM (
            SELECT large.id FROM (
                SELECT id FROM counted
                WHERE current_phase = 'dns_validation' AND phase_status = 'in_progress' AND pending > 0
                ORDER BY pending DESC, id LIMIT 10) AS large
            ORDER BY md5(large.id::text || $1) LIMIT 5) AS drawn), '[]'),
    'campaign_id', (
        SELECT large.id FROM (SELECT id FROM counted ORDER BY domains DESC, id LIMIT 5) AS large
        ORDER BY md5(large.id::text || $1) LIMIT 1),
    'bulk_domains', (
        SELECT coalesce(least(10000, greatest(min(large.domains) - 1, 0)), 10000) FROM (
            SELECT domains FROM counted WHERE current_phase = 'generation' AND phase_status = 'in_progress'
            ORDER BY domains DESC LIMIT 3) AS large),
    'http_valid_domains', (
        SELECT coalesce(least(1000, greatest(min(large.http) - 1, 0)), 1000) FROM (
            SELECT http FROM counted, reference WHERE updated_at >= reference_time - interval '7 days'
            ORDER BY http DESC LIMIT 3) AS large))
$query$, CASE WHEN dual THEN migration_benchmark_mapped('campaign_type') ELSE 'c.current_phase' END,
         CASE WHEN dual THEN migration_benchmark_mapped('status') ELSE 'c.phase_status' END)
    INTO inputs USING seed;
    RETURN inputs;
END
$function$;

-- Runs one form once and returns its number of rows; what a form that writes has deferred to the commit is done here, too.
CREATE OR REPLACE FUNCTION migration_benchmark_execute(query text, writes boolean, inputs jsonb)
RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    returned bigint;
BEGIN
    EXECUTE query USING (inputs -> 'user_ids' ->> 0)::uuid, (inputs ->> 'reference_time')::timestamptz,
        ARRAY(SELECT jsonb_array_elements_text(inputs -> 'campaign_ids'))::uuid[], (inputs ->> 'campaign_id')::uuid,
        (inputs ->> 'bulk_domains')::bigint, (inputs ->> 'http_valid_domains')::bigint;
    GET DIAGNOSTICS returned = ROW_COUNT;
    IF writes THEN
        SET CONSTRAINTS ALL IMMEDIATE;
    END IF;
    RETURN returned;
END
$function$;

-- What one execution does, in counts that repeat exactly where times do not; its triggers, and what they defer, included:
-- blocks: shared blocks touched in the tables and indexes of this schema, from the buffers or from disk; blocks_read: those
-- that were not in the buffers; temp_blocks: written to and read from temporary files; rows_visited: rows read by sequential
-- scans and entries read from indexes; wal_records: of this session alone. Serial, since parallel workers count for themselves.
CREATE OR REPLACE FUNCTION migration_benchmark_work(query text, writes boolean, inputs jsonb)
RETURNS jsonb LANGUAGE plpgsql
SET max_parallel_workers_per_gather = 0 SET max_parallel_maintenance_workers = 0 AS $function$
DECLARE
    before record;
    after record;
    explained json;
    counted CONSTANT text := 'SELECT sum(pg_stat_get_xact_blocks_fetched(c.oid))::bigint AS blocks,
        (sum(pg_stat_get_xact_blocks_fetched(c.oid)) - sum(pg_stat_get_xact_blocks_hit(c.oid)))::bigint AS blocks_read,
        sum(pg_stat_get_xact_tuples_returned(c.oid))::bigint AS rows_visited
        FROM pg_class AS c WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))';
BEGIN
    EXECUTE counted INTO before;
    -- The node that calls the function counts all that happens within it: a plan by itself would leave its triggers out.
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING OFF, COSTS OFF, FORMAT JSON) SELECT migration_benchmark_execute($1, $2, $3)'
        INTO explained USING query, writes, inputs;
    EXECUTE counted INTO after;
    explained := explained -> 0 -> 'Plan';
    RETURN jsonb_build_object(
        'blocks', after.blocks - before.blocks,
        'blocks_read', after.blocks_read - before.blocks_read,
        'temp_blocks', (explained ->> 'Temp Read Blocks')::bigint + (explained ->> 'Temp Written Blocks')::bigint,
        'rows_visited', after.rows_visited - before.rows_visited,
        'wal_records', (explained ->> 'WAL Records')::bigint);
END
$function$;

CREATE OR REPLACE FUNCTION migration_benchmark_plan(query text, inputs jsonb)
RETURNS text LANGUAGE plpgsql AS $function$
DECLARE
    line text;
    lines text[] := '{}';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
        USING (inputs -> 'user_ids' ->> 0)::uuid, (inputs ->> 'reference_time')::timestamptz,
            ARRAY(SELECT jsonb_array_elements_text(inputs -> 'campaign_ids'))::uuid[], (inputs ->> 'campaign_id')::uuid,
            (inputs ->> 'bulk_domains')::bigint, (inputs ->> 'http_valid_domains')::bigint
    LOOP
        lines := lines || line;
    END LOOP;
    RETURN array_to_string(lines, E'\n');
END
$function$;

-- These read nothing but what stands in this schema, whatever search path the caller has.
DO $block$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'migration_benchmark_architecture()', 'migration_benchmark_enum(text)', 'migration_benchmark_compared(text)',
        'migration_benchmark_legacy_values(text)', 'migration_benchmark_mapped(text)',
        'migration_benchmark_selects(text, text[])', 'migration_benchmark_patterns()', 'migration_benchmark_inputs(integer)',
        'migration_benchmark_execute(text, boolean, jsonb)', 'migration_benchmark_work(text, boolean, jsonb)',
        'migration_benchmark_plan(text, jsonb)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END
$block$;

-- The latest phases run beside the latest dual run of the same database that was measured in the same way.
CREATE OR REPLACE VIEW migration_performance_comparison AS
WITH results AS (
    SELECT DISTINCT ON (r.run_id, r.architecture_type, r.test_name)
           r.id, r.run_id, r.architecture_type, r.test_name, r.test_category, r.execution_time_ms, r.blocks, r.measured_at,
           r.details ->> 'method' AS method, r.details ->> 'database' AS database_name, r.details ->> 'skipped' AS skipped,
           (r.details ->> 'position')::integer AS "position", (r.details ->> 'domains')::numeric AS domains
    FROM migration_performance_results AS r
    ORDER BY r.run_id, r.architecture_type, r.test_name, r.id DESC
), after_run AS (
    SELECT r.run_id, r.method, r.database_name
    FROM results AS r WHERE r.architecture_type = 'phases_based' ORDER BY r.id DESC LIMIT 1
), before_run AS (
    SELECT r.run_id
    FROM results AS r LEFT JOIN after_run AS a ON true
    WHERE r.architecture_type = 'dual'
      AND (a.run_id IS NULL OR (r.method = a.method AND r.database_name = a.database_name))
    ORDER BY r.id DESC LIMIT 1
), compared AS (
    SELECT test_name, coalesce(a.test_category, b.test_category) AS test_category,
           coalesce(a."position", b."position") AS "position",
           b.execution_time_ms AS before_time_ms, a.execution_time_ms AS after_time_ms,
           b.blocks AS before_blocks, a.blocks AS after_blocks,
           b.measured_at AS before_measured_at, a.measured_at AS after_measured_at,
           b.id IS NOT NULL AS has_before, a.id IS NOT NULL AS has_after, coalesce(a.skipped, b.skipped) AS skipped,
           round(100 * (1 - a.execution_time_ms / nullif(b.execution_time_ms, 0)), 2) AS improvement_percent,
           abs(a.domains - b.domains) > 0.01 * b.domains AS other_volume
    FROM (SELECT * FROM results WHERE architecture_type = 'phases_based' AND run_id = (SELECT run_id FROM after_run)) AS a
    FULL JOIN (SELECT * FROM results WHERE architecture_type = 'dual' AND run_id = (SELECT run_id FROM before_run)) AS b
        USING (test_name)
)
SELECT c.test_name, c.test_category, c.before_time_ms, c.after_time_ms, c.improvement_percent,
       CASE
           WHEN NOT c.has_after THEN 'not measured after'
           WHEN NOT c.has_before THEN 'not measured before'
           WHEN c.skipped IS NOT NULL THEN 'skipped: ' || c.skipped
           WHEN c.improvement_percent IS NULL THEN 'recorded'
           WHEN c.other_volume THEN 'not comparable: the number of domains differs by more than 1%'
           WHEN c.improvement_percent
                >= coalesce(nullif(current_setting('migration.target_improvement', true), '')::numeric, 40) THEN 'target met'
           WHEN c.improvement_percent >= 5 THEN 'improved'
           WHEN c.improvement_percent > -5 THEN 'unchanged'
           ELSE 'slower'
       END AS performance_status,
       c.before_blocks, c.after_blocks, c.before_measured_at, c.after_measured_at
FROM compared AS c
ORDER BY c."position";
COMMENT ON VIEW migration_performance_comparison IS 'phases migration: the latest benchmark before and after, side by side';
-- end block: benchmark_definitions

-- One statement must not run for ever; psql's own setting comes back at the end.
DO $block$
BEGIN
    IF current_setting('statement_timeout') = '0' THEN
        PERFORM set_config('migration.benchmark_statement_timeout', '0', false);
        PERFORM set_config('statement_timeout', '1h', false);
    END IF;
END
$block$;

DO $block$
DECLARE
    architecture text := migration_benchmark_architecture();
    run uuid := coalesce(nullif(current_setting('migration.run_id', true), '')::uuid, gen_random_uuid());
    rounds integer := coalesce(nullif(current_setting('migration.benchmark_rounds', true), '')::integer, 9);
    seed integer := coalesce(nullif(current_setting('migration.benchmark_seed', true), '')::integer, 1);
    write_allowed boolean := coalesce(nullif(current_setting('migration.benchmark_writes', true), '')::boolean, true);
    skipped jsonb := jsonb_build_object(
        'concurrent_user_dashboards', 'plain SQL has one session; ten at once are measured by the pipeline',
        'database_statistics', NULL);
    inputs jsonb;
    common jsonb;
    statistics jsonb;
    measured jsonb := '[]';
    pattern record;
    round_number integer;
    started timestamptz;
    elapsed numeric;
    returned bigint;
    touched jsonb;
BEGIN
    IF rounds < 1 THEN
        RAISE EXCEPTION 'migration.benchmark_rounds is %, but at least one round is needed', rounds
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT write_allowed THEN
        skipped := skipped || jsonb_build_object('bulk_validation_updates', 'migration.benchmark_writes is off');
    END IF;
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '2s', true);
    END IF;
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    PERFORM set_config('migration.benchmark_run', run::text, false);
    PERFORM setseed((seed % 1000) / 1000.0);
    inputs := migration_benchmark_inputs(seed);

    -- Reading patterns: a warm-up round that does not count, then rounds in random order, each execution right after one that
    -- does not count, so that none depends on what ran before it. The pattern that writes comes last, so that the dead rows
    -- it leaves slow no other.
    FOR round_number IN 0..rounds LOOP
        FOR pattern IN
            SELECT p.test_name, CASE architecture WHEN 'dual' THEN p.legacy_query ELSE p.phases_query END AS query
            FROM migration_benchmark_patterns() AS p
            WHERE NOT p.writes AND NOT skipped ? p.test_name
            ORDER BY random()
        LOOP
            PERFORM migration_benchmark_execute(pattern.query, false, inputs);
            started := clock_timestamp();
            returned := migration_benchmark_execute(pattern.query, false, inputs);
            elapsed := 1000 * extract(epoch FROM clock_timestamp() - started);
            IF round_number = 0 THEN
                touched := migration_benchmark_work(pattern.query, false, inputs);
            END IF;
            measured := measured || jsonb_build_object('test_name', pattern.test_name, 'round', round_number,
                'ms', round(elapsed, 4), 'rows', returned, 'work', CASE WHEN round_number = 0 THEN touched END);
        END LOOP;
    END LOOP;
    FOR pattern IN
        SELECT p.test_name, CASE architecture WHEN 'dual' THEN p.legacy_query ELSE p.phases_query END AS query
        FROM migration_benchmark_patterns() AS p
        WHERE p.writes AND NOT skipped ? p.test_name
    LOOP
        BEGIN
            FOR round_number IN 0..rounds LOOP
                BEGIN
                    touched := NULL;
                    started := clock_timestamp();
                    IF round_number = 0 THEN
                        returned := NULL;
                        touched := migration_benchmark_work(pattern.query, true, inputs);
                    ELSE
                        returned := migration_benchmark_execute(pattern.query, true, inputs);
                    END IF;
                    elapsed := 1000 * extract(epoch FROM clock_timestamp() - started);
                    RAISE EXCEPTION 'rolled back' USING ERRCODE = 'MB001';
                EXCEPTION WHEN SQLSTATE 'MB001' THEN
                    measured := measured || jsonb_build_object('test_name', pattern.test_name, 'round', round_number,
                        'ms', round(elapsed, 4), 'rows', returned, 'work', touched);
                END;
            END LOOP;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            skipped := skipped || jsonb_build_object(pattern.test_name, 'other sessions held its rows: ' || SQLERRM);
        END;
    END LOOP;

    SELECT p.phases_query AS query INTO pattern FROM migration_benchmark_patterns() AS p
    WHERE p.test_name = 'database_statistics';
    EXECUTE 'SELECT jsonb_agg(to_jsonb(s)) FROM (' || pattern.query || ') AS s' INTO statistics;
    SELECT jsonb_build_object(
        'method', 'server, warm', 'database', current_database(), 'server_version', current_setting('server_version'),
        'inputs', inputs, 'campaigns', (SELECT count(*) FROM campaigns), 'domains', (SELECT count(*) FROM generated_domains),
        'settings', (SELECT jsonb_object_agg(s.name, s.setting) FROM pg_settings AS s
                     WHERE s.name IN ('shared_buffers', 'work_mem', 'effective_cache_size', 'random_page_cost',
                                      'max_parallel_workers_per_gather', 'jit', 'plan_cache_mode')))
    INTO common;
    INSERT INTO migration_performance_results (
        run_id, architecture_type, test_name, test_category, execution_time_ms, rounds, rows_returned, blocks, details)
    SELECT run, architecture, p.test_name, p.test_category, m.median_ms, coalesce(m.rounds, 0), m.rows_returned, m.blocks,
           common || jsonb_strip_nulls(jsonb_build_object(
               'position', p."position", 'note', p.note, 'times_ms', m.times_ms, 'work', m.work, 'skipped', skipped ->> p.test_name,
               'statistics', CASE p.test_name WHEN 'database_statistics' THEN statistics END,
               'plan', CASE WHEN m.rounds > 0 THEN migration_benchmark_plan(
                   CASE architecture WHEN 'dual' THEN p.legacy_query ELSE p.phases_query END, inputs) END))
    FROM migration_benchmark_patterns() AS p
    LEFT JOIN (
        SELECT x.test_name, count(*) FILTER (WHERE x.round > 0) AS rounds, max(x.rows) AS rows_returned,
               max((x.work ->> 'blocks')::bigint) AS blocks,
               jsonb_agg(x.work) FILTER (WHERE x.round = 0) -> 0 AS work, jsonb_agg(x.ms ORDER BY x.round) FILTER (WHERE x.round > 0) AS times_ms,
               (percentile_cont(0.5) WITHIN GROUP (ORDER BY x.ms) FILTER (WHERE x.round > 0))::numeric(14, 4) AS median_ms
        FROM jsonb_to_recordset(measured) AS x (test_name text, round integer, ms double precision, rows bigint, work jsonb)
        WHERE skipped ->> x.test_name IS NULL
        GROUP BY x.test_name) AS m ON m.test_name = p.test_name
    ORDER BY p."position";
END
$block$;

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

DO $block$
BEGIN
    IF current_setting('migration.benchmark_statement_timeout', true) <> '' THEN
        PERFORM set_config('statement_timeout', current_setting('migration.benchmark_statement_timeout'), false);
        PERFORM set_config('migration.benchmark_statement_timeout', '', false);
    END IF;
END
$block$;

SELECT r.test_name, r.architecture_type, r.execution_time_ms, r.rows_returned, r.blocks,
       coalesce('SKIPPED: ' || (r.details ->> 'skipped'), r.details ->> 'note') AS remark
FROM migration_performance_results AS r
WHERE r.run_id = current_setting('migration.benchmark_run')::uuid AND r.architecture_type = migration_benchmark_architecture()
ORDER BY r.id;
