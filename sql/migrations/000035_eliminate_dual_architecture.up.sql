-- 000035: from two campaign models to phases only. Alone, after migrate-campaign-data.sql or behind the pipeline, which has
-- then done all that takes time. Whole or nothing: what destroys stands in the one DO block at the end. No BEGIN or COMMIT
-- in here, so that psql, golang-migrate and the pipeline can each run it in their own way. Running it again does nothing.

-- block: guard
-- Before anything is changed: are these the tables, does anything stand in the way, is every value known?
DO $block$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    domains_oid oid := to_regclass(format('%I.generated_domains', current_schema()));
    legacy_numbers smallint[];
    found text;
BEGIN
    IF campaigns_oid IS NULL OR domains_oid IS NULL THEN
        RAISE EXCEPTION 'schema % has no table %', current_schema(),
            CASE WHEN campaigns_oid IS NULL THEN 'campaigns' ELSE 'generated_domains' END
            USING ERRCODE = 'undefined_table',
                  HINT = 'Set search_path so that the schema of the campaign tables comes first.';
    END IF;
    SELECT array_agg(attnum) INTO legacy_numbers
    FROM pg_attribute
    WHERE attrelid = campaigns_oid AND NOT attisdropped
      AND attname IN ('campaign_type', 'status', 'launch_sequence');
    IF legacy_numbers IS NULL THEN
        RETURN;  -- already phases only: what follows finds nothing to do
    END IF;
    IF EXISTS (SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
               WHERE t.tgrelid = campaigns_oid AND p.proname = 'migration_return_values')
       OR obj_description(to_regclass(format('%I.migration_saved_objects', current_schema())), 'pg_class') LIKE '%: taken back' THEN
        RAISE EXCEPTION 'a way back has begun and not ended' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'End it first: flows.rollback, or 000036 and 000035 down.';
    END IF;
    SELECT string_agg(wanted.name, ', ') INTO found
    FROM (VALUES ('campaign_type'), ('status')) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = campaigns_oid AND attname = wanted.name AND NOT attisdropped);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'campaigns has no column % though it has other legacy columns', found
            USING ERRCODE = 'undefined_column', HINT = 'Half of the legacy model is missing: find out who removed it.';
    END IF;

    -- Names that we want and somebody else has.
    SELECT string_agg(format('%s %s', CASE WHEN c.relkind = 'v' THEN 'view' ELSE 'table' END, c.oid::regclass), ', ')
    INTO found
    FROM pg_class AS c
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
      AND c.relname IN ('migration_custom_mappings', 'migration_saved_objects', 'migration_legacy_values',
                        'migration_counting', 'campaign_metric_changes', 'campaign_metrics_baseline',
                        'campaigns_backup_000035', 'campaigns_pre_migration_backup', 'campaign_performance_metrics')
      AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %';
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'names that this migration needs are taken: %', found
            USING ERRCODE = 'duplicate_table', HINT = 'Rename them; nothing has been changed.';
    END IF;
    SELECT string_agg(format('index %s (%s)', c.oid::regclass, pg_get_indexdef(c.oid)), ', ') INTO found
    FROM pg_class AS c
    JOIN (VALUES
        ('idx_campaigns_workflow_primary', 'campaigns USING btree (current_phase, phase_status, user_id, updated_at)'),
        ('idx_campaigns_phase_transitions',
         'campaigns USING btree (current_phase, updated_at DESC) INCLUDE (id, name, phase_status)'),
        ('idx_campaigns_user_dashboard', 'campaigns USING btree (user_id, phase_status, updated_at DESC)'),
        ('idx_domains_campaign_validation_primary',
         'generated_domains USING btree (domain_generation_campaign_id, dns_status, http_status)'),
        ('idx_domains_campaign_leads',
         'generated_domains USING btree (domain_generation_campaign_id, lead_score) WHERE (lead_score > (0)::numeric)'),
        ('idx_domains_lead_ranking',
         'generated_domains USING btree (lead_score DESC, id) INCLUDE (domain_name, domain_generation_campaign_id)'
         ' WHERE (lead_score > (0)::numeric)')
    ) AS wanted (name, definition) ON wanted.name = c.relname
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
      AND (c.relkind NOT IN ('i', 'I')
           -- Printed with the column's own type.
           OR replace(regexp_replace(pg_get_indexdef(c.oid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'),
                      ' ON ONLY ', ' ON ')
              <> format('CREATE INDEX %I ON %I.', c.relname, current_schema()) || wanted.definition);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'names that 000036 needs are taken by another definition: %', found
            USING ERRCODE = 'duplicate_object', HINT = 'Rename them; nothing has been changed.',
                  DETAIL = (
                      SELECT coalesce('These, which read the legacy columns, are in the way as well: '
                                      || string_agg(DISTINCT pg_describe_object('pg_class'::regclass, r.ev_class, 0), ', ') || '.',
                                      'No view reads the legacy columns.')
                      FROM pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
                      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = campaigns_oid
                        AND d.refobjsubid = ANY (legacy_numbers));
    END IF;

    -- Constraints: the same rule is ours, compared without casts, brackets and blanks and with a list's values in order.
    SELECT string_agg(format('constraint %I (%s)', k.conname, pg_get_constraintdef(k.oid)), ', ') INTO found
    FROM pg_constraint AS k
    JOIN (VALUES
        ('campaigns_current_phase_check', 'current_phase=ANYARRAY[,,,,]',
         'analysis,dns_validation,generation,http_keyword_validation,setup'),
        ('campaigns_phase_status_check', 'phase_status=ANYARRAY[,,,,]', 'completed,failed,in_progress,not_started,paused'),
        ('campaigns_progress_check', 'progress>=0ANDprogress<=100', NULL),
        ('campaigns_metrics_check', 'domains>=0ANDleads>=0ANDdns_validated_domains>=0ANDhttp_validated_domains>=0', NULL),
        ('campaigns_phases_filled',
         'current_phaseISNOTNULLANDphase_statusISNOTNULLANDprogressISNOTNULLANDdomainsISNOTNULLANDleadsISNOTNULL'
         'ANDdns_validated_domainsISNOTNULLANDhttp_validated_domainsISNOTNULL', NULL)
    ) AS wanted (name, form, listed) ON wanted.name = k.conname
    CROSS JOIN LATERAL (
        SELECT regexp_replace(pg_get_constraintdef(k.oid), '::\w+( varying)?(\([0-9,]+\))?(\[\])?', '', 'g') AS bare
    ) AS d
    WHERE k.conrelid = campaigns_oid
      AND (k.contype <> 'c'
           OR regexp_replace(d.bare, '^CHECK|NOT VALID$|[()[:space:]]|''[^'']*''', '', 'g') <> wanted.form
           OR (SELECT string_agg(v.value[1], ',' ORDER BY v.value[1] COLLATE "C")
               FROM regexp_matches(d.bare, '''([^'']*)''', 'g') AS v (value)) IS DISTINCT FROM wanted.listed);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'names of constraints that this migration needs are taken by another rule: %', found
            USING ERRCODE = 'duplicate_object',
                  HINT = 'ALTER TABLE campaigns RENAME CONSTRAINT ... TO ...; nothing has been changed.';
    END IF;
    SELECT string_agg(format('trigger %I on %s (%s)', t.tgname, t.tgrelid::regclass, t.tgfoid::regprocedure), ', ') INTO found
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid IN (campaigns_oid, domains_oid) AND NOT t.tgisinternal
      AND t.tgname IN ('zzy_migration_sync_models', 'migration_keep_legacy_values', 'migration_keep_legacy_values_update',
                       'zzz_campaigns_keep_row', 'zzz_campaign_metrics_insert', 'zzz_campaign_metrics_update',
                       'zzz_campaign_metrics_delete', 'zzz_campaign_metrics_truncate')
      AND NOT (p.pronamespace = quote_ident(current_schema())::regnamespace
               AND p.proname IN ('migration_sync_models', 'migration_keep_legacy_values', 'campaigns_keep_row',
                                 'campaign_metrics_on_insert', 'campaign_metrics_on_update', 'campaign_metrics_on_delete',
                                 'campaign_metrics_on_truncate'));
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'names of triggers that this migration needs are taken: %', found
            USING ERRCODE = 'duplicate_object', HINT = 'ALTER TRIGGER ... RENAME TO ...; nothing has been changed.';
    END IF;
    -- Functions: those of an earlier run stand beside its tables, so without them whatever bears our names is another's.
    SELECT string_agg(p.oid::regprocedure::text, ', ') INTO found
    FROM pg_proc AS p
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND to_regclass(format('%I.migration_custom_mappings', current_schema())) IS NULL
      AND p.proname IN ('migration_map_current_phase', 'migration_map_phase_status', 'migration_map_campaign_type',
                        'migration_map_status', 'migration_map_progress', 'migration_backup_campaigns',
                        'migration_find_inverse_mappings', 'migration_allows', 'migration_expand_columns',
                        'migration_sync_models', 'migration_install_sync', 'migration_install_metrics',
                        'migration_mark_uncounted', 'migration_hand_over', 'migration_lock_campaigns', 'migration_prepare_sync',
                        'migration_write_keep_row', 'migration_keep_legacy_values', 'migration_refuse_contradictions',
                        'migration_refuse_unknown_values', 'migration_add_checks', 'migration_validate_checks',
                        'migration_record_legacy', 'migration_transform', 'migration_count_metrics', 'migration_fill_batch',
                        'migration_forget_deleted', 'campaign_metrics_on_insert', 'campaign_metrics_on_update',
                        'campaign_metrics_on_delete', 'campaign_metrics_on_truncate', 'campaign_metrics_fold');
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'names of functions that this migration needs are taken: %', found
            USING ERRCODE = 'duplicate_function', HINT = 'Rename or drop them; nothing has been changed.';
    END IF;
END
$block$;
-- end block: guard

-- block: guard_dependents
-- Before anything is destroyed: does anything read the legacy columns that would not survive their end?
DO $block$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    legacy_numbers smallint[];
    recorded text[] := '{}';
    found text;
BEGIN
    SELECT array_agg(attnum) INTO legacy_numbers
    FROM pg_attribute
    WHERE attrelid = campaigns_oid AND NOT attisdropped
      AND attname IN ('campaign_type', 'status', 'launch_sequence');
    -- What depends on a legacy column and is not rebuilt here. Indexes, checks, defaults and NOT NULL of the table itself,
    -- statistics and column lists of publications are recorded and dropped; our own triggers go with the sync; other
    -- triggers are rebuilt where the pipeline has recorded how.
    IF to_regclass(format('%I.migration_saved_objects', current_schema())) IS NOT NULL THEN
        EXECUTE 'SELECT coalesce(array_agg(identity), ''{}'') FROM migration_saved_objects'
                ' WHERE kind = ''trigger'' AND rebuild_statement IS NOT NULL' INTO recorded;
    END IF;
    SELECT string_agg(DISTINCT pg_describe_object(classid, objid, objsubid), '; ') INTO found
    FROM pg_depend AS d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = campaigns_oid AND d.refobjsubid = ANY (legacy_numbers)
      AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (
            SELECT FROM pg_attrdef AS a WHERE a.oid = d.objid AND a.adrelid = campaigns_oid AND a.adnum = ANY (legacy_numbers)))
      AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
            SELECT FROM pg_constraint AS c
            WHERE c.oid = d.objid AND c.conrelid = campaigns_oid AND c.contype IN ('c', 'n', 'f')
              AND c.conkey <@ legacy_numbers))
      AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
            SELECT FROM pg_index AS i WHERE i.indexrelid = d.objid AND i.indrelid = campaigns_oid
              AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)))
      AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
            SELECT FROM pg_trigger AS t
            WHERE t.oid = d.objid AND t.tgrelid = campaigns_oid
              AND (t.tgname = 'migration_keep_legacy_values_update' OR t.tgname = ANY (recorded))))
      AND NOT (d.classid = 'pg_statistic_ext'::regclass AND EXISTS (
            SELECT FROM pg_statistic_ext AS s WHERE s.oid = d.objid AND s.stxrelid = campaigns_oid))
      AND NOT (d.classid = 'pg_publication_rel'::regclass AND EXISTS (
            SELECT FROM pg_publication_rel AS r
            JOIN pg_publication AS p ON p.oid = r.prpubid
            JOIN pg_publication_tables AS t ON t.pubname = p.pubname
            WHERE r.oid = d.objid AND t.schemaname = current_schema() AND t.tablename = 'campaigns'
              AND coalesce(to_jsonb(t) ->> 'rowfilter', '') !~ '\m(campaign_type|status|launch_sequence)\M'));
    -- Up to PostgreSQL 14 the catalog does not say which columns of a function's rows a view reads.
    IF current_setting('server_version_num')::integer < 150000 THEN
        SELECT nullif(concat_ws('; ', found, string_agg(DISTINCT 'view ' || r.ev_class::regclass, '; ')), '') INTO found
        FROM pg_proc AS p
        JOIN pg_depend AS d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN'
        WHERE p.prorettype = (SELECT c.reltype FROM pg_class AS c WHERE c.oid = campaigns_oid)
          AND pg_get_viewdef(r.ev_class) ~ '\m(campaign_type|status|launch_sequence)\M';
    END IF;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'these depend on the legacy columns of campaigns: %', found
            USING ERRCODE = 'dependent_objects_still_exist',
                  HINT = 'Drop or rewrite them first; nothing has been changed. CASCADE is never used.';
    END IF;
END
$block$;
-- end block: guard_dependents

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

-- block: keep_row
-- Whether a column of campaigns is there.
CREATE OR REPLACE FUNCTION migration_has_column(column_name text)
RETURNS boolean LANGUAGE sql STABLE AS $function$
    SELECT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(format('%I.campaigns', current_schema())) AND attname = $1 AND NOT attisdropped
    )
$function$;

-- The last BEFORE UPDATE trigger of all: while metrics are folded or rows are filled, every other value stays as it is,
-- updated_at above all. A plain UPDATE by the application is not concerned. It writes to NEW and never to OLD: up to
-- PostgreSQL 15 a server process dies when PL/pgSQL replaces a field of OLD whose value is a column default that was added
-- without a rewrite.
CREATE OR REPLACE FUNCTION migration_write_keep_row()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    assignments text;
BEGIN
    SELECT string_agg(format('    NEW.%1$I := OLD.%1$I;', attname), E'\n' ORDER BY attnum) INTO assignments
    FROM pg_attribute
    WHERE attrelid = to_regclass(format('%I.campaigns', current_schema()))
      AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
      AND attname NOT IN ('current_phase', 'phase_status', 'progress', 'domains', 'leads', 'dns_validated_domains',
                          'http_validated_domains', 'campaign_type', 'status', 'launch_sequence')
      AND attname NOT LIKE '%\_before\_000035';
    -- Quoted as a string: a column's name may hold whatever a dollar quote begins and ends with.
    EXECUTE format('CREATE OR REPLACE FUNCTION campaigns_keep_row() RETURNS trigger LANGUAGE plpgsql AS %L',
                   format(E'BEGIN\n%s\n    RETURN NEW;\nEND', assignments));
END
$function$;

CREATE OR REPLACE FUNCTION migration_create_keep_row()
RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM migration_write_keep_row();
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(format('%I.campaigns', current_schema()))
                   AND tgname = 'zzz_campaigns_keep_row') THEN
        CREATE TRIGGER zzz_campaigns_keep_row BEFORE UPDATE ON campaigns FOR EACH ROW
        WHEN (current_setting('campaign_metrics.folding', true) = 'on')
        EXECUTE FUNCTION campaigns_keep_row();
    END IF;
END
$function$;
-- end block: keep_row

-- block: phases_columns
-- What becomes of each phases column: absent (it is added), kept (it holds our values as it is), replaced (a new one takes its
-- name; nothing is rewritten) or refused. former is the name that a replaced one has until the way back.
CREATE OR REPLACE FUNCTION migration_judge_phases_columns()
RETURNS TABLE (name text, wanted text, standard text, type text, verdict text, problem text, former text)
LANGUAGE sql STABLE AS $judge$
    SELECT f.name, f.wanted, f.standard, f.type,
        CASE WHEN f.type IS NULL THEN 'absent' WHEN f.unfit IS NOT NULL THEN 'refused' WHEN f.fits THEN 'kept'
            WHEN NOT f.replaceable OR f.readers IS NOT NULL THEN 'refused' ELSE 'replaced' END AS verdict,
        CASE WHEN f.unfit IS NOT NULL THEN f.unfit WHEN f.fits THEN NULL
            WHEN NOT f.replaceable THEN 'this migration needs ' || f.wanted
            ELSE format('this migration needs %s, and cannot replace it because of %s', f.wanted, f.readers) END AS problem,
        f.name || '_before_000035' AS former
    FROM (
        SELECT w.ordinal, w.name, w.wanted, w.standard, format_type(a.atttypid, a.atttypmod) AS type,
            CASE WHEN a.attgenerated <> '' OR a.attidentity <> '' THEN 'it is generated, and cannot be written'
                WHEN t.typtype = 'd' AND (t.typnotnull OR t.typdefault IS NOT NULL)
                    THEN 'its domain brings a default or a NOT NULL, and it must be NULL until it is filled' END AS unfit,
            CASE WHEN w.wanted = 'text' THEN
                    coalesce(nullif(t.typbasetype, 0), t.oid) IN ('text'::regtype, 'varchar'::regtype) OR t.typtype = 'e'
                WHEN w.name = 'progress' THEN format_type(a.atttypid, a.atttypmod) = 'numeric'
                    OR (SELECT n[1]::integer - n[2]::integer >= 3 AND n[2]::integer >= 2
                        FROM regexp_match(format_type(a.atttypid, a.atttypmod), '^numeric\((\d+),(\d+)\)$') AS n)
                ELSE a.atttypid = 'bigint'::regtype END IS TRUE AS fits,
            w.wanted <> 'text' AND a.atttypid IN ('integer'::regtype, 'numeric'::regtype, 'real'::regtype,
                'double precision'::regtype, CASE WHEN w.name = 'progress' THEN 'smallint'::regtype END) IS TRUE AS replaceable,
            (
                SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
                FROM pg_depend AS d
                WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
                  AND d.classid <> 'pg_attrdef'::regclass
                  AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
                        SELECT FROM pg_constraint AS c
                        WHERE c.oid = d.objid AND c.contype IN ('c', 'n') AND c.conkey = ARRAY[a.attnum]))
                  AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
                        SELECT FROM pg_index AS i WHERE i.indexrelid = d.objid AND i.indrelid = a.attrelid
                          AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)))
            ) AS readers
        FROM (VALUES
            (1, 'current_phase', 'text', NULL),
            (2, 'phase_status', 'text', NULL),
            (3, 'progress', 'numeric(5,2)', '0'),
            (4, 'domains', 'bigint', '0'),
            (5, 'leads', 'bigint', '0'),
            (6, 'dns_validated_domains', 'bigint', '0'),
            (7, 'http_validated_domains', 'bigint', '0')
        ) AS w (ordinal, name, wanted, standard)
        LEFT JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('%I.campaigns', current_schema()))
            AND a.attname = w.name AND NOT a.attisdropped
        LEFT JOIN pg_type AS t ON t.oid = a.atttypid
    ) AS f
    ORDER BY f.ordinal
$judge$;
-- end block: phases_columns

-- block: toolkit
-- The pieces of the migration, each a function that can be called again without harm. By hand they run in one go, further
-- down; the pipeline calls them one by one, each in a short transaction of its own.

-- What was dropped or changed, with the statements that bring it back. The way back replays it in the order of position.
CREATE TABLE IF NOT EXISTS migration_saved_objects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position integer NOT NULL,
    kind text NOT NULL,
    identity text NOT NULL,
    definition text,
    comment text,
    statistics_target integer,
    options text[],
    owner text,
    grants text,
    drop_statement text,
    create_statement text,
    rebuild_statement text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, identity)
);
COMMENT ON TABLE migration_saved_objects IS 'phases migration: what was dropped or changed, and how it comes back';

-- The legacy values as they were written, kept in step until the legacy columns go.
CREATE TABLE IF NOT EXISTS migration_legacy_values (
    campaign_id uuid PRIMARY KEY,
    campaign_type text,
    status text,
    launch_sequence boolean
);
COMMENT ON TABLE migration_legacy_values IS 'phases migration: the legacy values of each campaign as they were written';

-- Differences in a campaign's domain metrics, from the statement that made them to the commit that folds them in.
CREATE TABLE IF NOT EXISTS campaign_metric_changes (
    transaction_id xid8 NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    campaign_id uuid NOT NULL,
    domains bigint NOT NULL,
    dns_validated_domains bigint NOT NULL,
    http_validated_domains bigint NOT NULL,
    leads bigint NOT NULL,
    folds boolean NOT NULL,
    PRIMARY KEY (transaction_id, id)
);
COMMENT ON TABLE campaign_metric_changes IS
    'phases migration: differences of the metrics that open transactions have not yet folded into campaigns';

-- Campaigns whose metrics are being counted. While a campaign stands here its differences are kept, not folded.
CREATE TABLE IF NOT EXISTS campaign_metrics_baseline (
    campaign_id uuid PRIMARY KEY,
    counted_in pg_snapshot,
    domains bigint NOT NULL DEFAULT 0,
    dns_validated_domains bigint NOT NULL DEFAULT 0,
    http_validated_domains bigint NOT NULL DEFAULT 0,
    leads bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE campaign_metrics_baseline IS
    'phases migration: campaigns whose metrics are being counted, with the count and the snapshot that it saw';

-- Campaigns as they were, twice over: one copy for 000035, one for rollback-data.sql. A copy is only replaced when the
-- migration it belongs to was taken back, that is, when nothing is recorded.
CREATE OR REPLACE FUNCTION migration_backup_campaigns()
RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    copy text;
    copied bigint;
BEGIN
    FOREACH copy IN ARRAY ARRAY['campaigns_pre_migration_backup', 'campaigns_backup_000035'] LOOP
        IF to_regclass(format('%I.%I', current_schema(), copy)) IS NOT NULL THEN
            IF EXISTS (SELECT FROM migration_saved_objects WHERE kind = 'backup' AND identity = copy) THEN
                CONTINUE;
            END IF;
            EXECUTE format('DROP TABLE %I', copy);
        END IF;
        EXECUTE format('CREATE TABLE %I AS TABLE campaigns', copy);
        GET DIAGNOSTICS copied = ROW_COUNT;
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (id)', copy);
        EXECUTE format('COMMENT ON TABLE %I IS %L', copy, 'phases migration: campaigns as they were at ' || now());
        INSERT INTO migration_saved_objects (position, kind, identity, definition)
        VALUES (0, 'backup', copy, format('%s campaigns', copied));
    END LOOP;
    EXECUTE 'SELECT count(*) FROM campaigns_pre_migration_backup' INTO copied;
    RETURN copied;
END
$function$;

-- Where the installation's own constraint or enum forbids what the fixed inverse mapping gives, the nearest value that
-- it allows: along the order of the phases, and from paused or failed to what comes closest.
CREATE OR REPLACE FUNCTION migration_find_inverse_mappings()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    wish record;
    candidate text;
    allowed boolean;
    settled text;
BEGIN
    FOR wish IN
        SELECT * FROM (VALUES
            ('campaign_type', 'setup', ARRAY['domain_generation', 'comprehensive', 'automated']),
            ('campaign_type', 'generation', ARRAY['domain_generation', 'comprehensive', 'automated']),
            ('campaign_type', 'dns_validation', ARRAY['dns_validation', 'domain_generation']),
            ('campaign_type', 'http_keyword_validation', ARRAY['http_keyword_validation', 'dns_validation', 'domain_generation']),
            ('campaign_type', 'analysis', ARRAY['analysis', 'http_keyword_validation', 'dns_validation', 'domain_generation']),
            ('status', 'not_started', ARRAY['pending', 'queued']),
            ('status', 'in_progress', ARRAY['running']),
            ('status', 'paused', ARRAY['paused', 'pausing', 'pending']),
            ('status', 'completed', ARRAY['completed', 'archived']),
            ('status', 'failed', ARRAY['failed', 'cancelled'])
        ) AS w (target, source_value, candidates)
    LOOP
        settled := NULL;
        FOREACH candidate IN ARRAY wish.candidates LOOP
            allowed := migration_allows(wish.target, candidate);
            IF allowed THEN
                settled := candidate;
                EXIT;
            END IF;
        END LOOP;
        IF settled IS NULL THEN
            RAISE EXCEPTION 'campaigns.% allows none of % for %', wish.target, wish.candidates, wish.source_value
                USING ERRCODE = 'check_violation', HINT = 'Look at the check constraints or the enum of that column.';
        ELSIF settled <> wish.candidates[1] THEN
            INSERT INTO migration_custom_mappings (target, source_is_null, source_value, target_value)
            VALUES (wish.target, false, wish.source_value, settled)
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
END
$function$;

-- Whether the type of a column (an enum's labels, a domain's rules, a length), the check constraints on it alone and the table
-- that it references admit a value.
CREATE OR REPLACE FUNCTION migration_allows(column_name text, candidate text)
RETURNS boolean LANGUAGE plpgsql STABLE AS $function$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    column_number smallint;
    column_type text;
    expression text;
    admits boolean;
BEGIN
    SELECT attnum, format_type(atttypid, atttypmod) INTO column_number, column_type
    FROM pg_attribute WHERE attrelid = campaigns_oid AND attname = $1 AND NOT attisdropped;
    BEGIN
        -- A cast to varchar(n) cuts what is too long.
        EXECUTE format('SELECT %1$L::%2$s::text = %1$L', $2, column_type) INTO admits;
    EXCEPTION WHEN invalid_text_representation OR check_violation OR string_data_right_truncation THEN
        admits := false;
    END;
    IF NOT admits THEN
        RETURN false;
    END IF;
    FOR expression IN
        SELECT pg_get_expr(k.conbin, k.conrelid) FROM pg_constraint AS k
        WHERE k.conrelid = campaigns_oid AND k.contype = 'c' AND k.conkey = ARRAY[column_number]
          AND to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'  -- NOT ENFORCED, from PostgreSQL 18 on
    LOOP
        EXECUTE format('SELECT %s FROM (SELECT %L::%s AS %I) AS candidate', expression, $2, column_type, $1) INTO admits;
        IF admits IS FALSE THEN
            RETURN false;
        END IF;
    END LOOP;
    FOR expression IN
        SELECT format('SELECT EXISTS (SELECT FROM %s AS r WHERE r.%I::text = %L)', k.confrelid::regclass, a.attname, $2)
        FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND k.confkey = ARRAY[a.attnum]
        WHERE k.conrelid = campaigns_oid AND k.contype = 'f' AND k.conkey = ARRAY[column_number]
    LOOP
        EXECUTE expression INTO admits;
        IF NOT admits THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$function$;

-- Locks campaigns against everybody and notes since when. Before it stands whatever can be done without the lock.
CREATE OR REPLACE FUNCTION migration_lock_campaigns()
RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE;
    IF coalesce(current_setting('migration.locked_at', true), '') = '' THEN
        PERFORM set_config('migration.locked_at', clock_timestamp()::text, false);
    END IF;
END
$function$;

-- The phases columns, where they lack. The two that the mapping fills come without a default: until they are filled NULL
-- says so. What was there before is recorded, to be put back as it was. A column of figures that has another type makes room
-- for one of ours: the figures are counted anew, and nothing is rewritten under the lock.
CREATE OR REPLACE FUNCTION migration_expand_columns()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    wanted record;
    present record;
    value text;
    additions text;
BEGIN
    FOR wanted IN
        SELECT * FROM migration_judge_phases_columns()
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM migration_saved_objects
            WHERE kind IN ('added column', 'phases column') AND identity = wanted.name);
        IF wanted.verdict = 'absent' THEN
            additions := concat_ws(', ', additions, format('ADD COLUMN %I %s%s', wanted.name, wanted.wanted,
                                                           coalesce(' NOT NULL DEFAULT ' || wanted.standard, '')));
            INSERT INTO migration_saved_objects (position, kind, identity, definition, drop_statement)
            VALUES (900, 'added column', wanted.name, wanted.wanted,
                    format('ALTER TABLE campaigns DROP COLUMN %I', wanted.name));
            CONTINUE;
        END IF;
        IF wanted.verdict = 'refused' THEN
            RAISE EXCEPTION 'campaigns.% is %: %', wanted.name, wanted.type, wanted.problem
                USING ERRCODE = 'datatype_mismatch', HINT = 'Change its type first; nothing has been changed.';
        END IF;
        PERFORM migration_lock_campaigns();
        SELECT a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS standard, col_description(campaigns_oid, a.attnum) AS comment
        INTO present
        FROM pg_attribute AS a
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = campaigns_oid AND a.attname = wanted.name AND NOT a.attisdropped;
        IF wanted.verdict = 'kept' THEN
            FOREACH value IN ARRAY CASE wanted.name
                WHEN 'current_phase'
                    THEN ARRAY['setup', 'generation', 'dns_validation', 'http_keyword_validation', 'analysis']
                WHEN 'phase_status' THEN ARRAY['not_started', 'in_progress', 'paused', 'completed', 'failed']
                ELSE '{}'::text[] END
            LOOP
                IF NOT migration_allows(wanted.name, value) THEN
                    RAISE EXCEPTION 'campaigns.% (%) does not allow %', wanted.name, wanted.type, value
                        USING ERRCODE = 'check_violation', HINT = 'Widen its type or its check first; nothing has been changed.';
                END IF;
            END LOOP;
            INSERT INTO migration_saved_objects (position, kind, identity, definition, create_statement)
            VALUES (910, 'phases column', wanted.name, wanted.type,
                    format('ALTER TABLE campaigns ALTER COLUMN %I %s', wanted.name,
                           coalesce('SET DEFAULT ' || present.standard, 'DROP DEFAULT'))
                    || format(', ALTER COLUMN %I %s NOT NULL', wanted.name,
                              CASE WHEN present.attnotnull THEN 'SET' ELSE 'DROP' END));
            EXECUTE format('ALTER TABLE campaigns ALTER COLUMN %I %s', wanted.name,
                           coalesce('SET DEFAULT ' || wanted.standard, 'DROP DEFAULT'));
            CONTINUE;
        END IF;
        INSERT INTO migration_saved_objects (position, kind, identity, definition, create_statement)
        VALUES (910, 'phases column', wanted.name, wanted.type, concat_ws('; ',
                'SELECT set_config(''campaign_metrics.folding'', ''on'', true)',
                format('UPDATE campaigns SET %1$I = %2$I WHERE %1$I IS DISTINCT FROM %2$I', wanted.former, wanted.name),
                'SET CONSTRAINTS ALL IMMEDIATE',
                'SELECT set_config(''campaign_metrics.folding'', ''off'', true)',
                format('ALTER TABLE campaigns DROP COLUMN %I', wanted.name),
                format('ALTER TABLE campaigns RENAME COLUMN %I TO %I', wanted.former, wanted.name),
                CASE WHEN present.attnotnull AND present.standard IS NULL
                     THEN format('ALTER TABLE campaigns ALTER COLUMN %I DROP DEFAULT', wanted.name) END));
        EXECUTE format('ALTER TABLE campaigns RENAME COLUMN %I TO %I', wanted.name, wanted.former);
        IF present.attnotnull AND present.standard IS NULL THEN
            EXECUTE format('ALTER TABLE campaigns ALTER COLUMN %I SET DEFAULT 0', wanted.former);
        END IF;
        EXECUTE format('ALTER TABLE campaigns ADD COLUMN %I %s NOT NULL DEFAULT %s',
                       wanted.name, wanted.wanted, wanted.standard);
        EXECUTE format('COMMENT ON COLUMN campaigns.%I IS %L', wanted.name, present.comment);
        -- Whoever may read or write the column by name still may.
        FOR value IN
            SELECT format('GRANT %s (%I) ON TABLE campaigns TO %s%s', g.privilege_type, wanted.name,
                          CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                          CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS g
            WHERE a.attrelid = campaigns_oid AND a.attname = wanted.former
        LOOP
            EXECUTE value;
        END LOOP;
    END LOOP;
    IF additions IS NOT NULL THEN
        PERFORM migration_lock_campaigns();
        EXECUTE 'ALTER TABLE campaigns ' || additions;
    END IF;
END
$function$;

-- Writers that know one model write the other through this trigger. It is the last but one of the BEFORE row triggers.
-- A legacy value that still maps to the phases value stays: queued is not turned into pending, and comprehensive and
-- automated belong to every phase. What this trigger itself writes for a phases value is no contradiction: setup has the
-- legacy type of generation, and a value that the installation forbids is replaced by its nearest.
CREATE OR REPLACE FUNCTION migration_sync_models()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    inserted boolean := TG_OP = 'INSERT';
    type_moved boolean := false;
    phase_moved boolean := false;
    status_moved boolean := false;
    phase_status_moved boolean := false;
    mapped text;
    differs boolean;
    contradicts boolean;
    filling text := coalesce(current_setting('migration.prefer', true), '');
BEGIN
    IF NOT inserted THEN
        type_moved := NEW.campaign_type::text IS DISTINCT FROM OLD.campaign_type::text;
        phase_moved := NEW.current_phase IS DISTINCT FROM OLD.current_phase;
        status_moved := NEW.status::text IS DISTINCT FROM OLD.status::text;
        phase_status_moved := NEW.phase_status IS DISTINCT FROM OLD.phase_status;
        IF (phase_moved AND NEW.current_phase IS NULL) OR (phase_status_moved AND NEW.phase_status IS NULL) THEN
            RAISE EXCEPTION 'current_phase and phase_status of campaign % cannot be set to NULL', NEW.id
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;

    -- Nearly every update, a fold of metrics above all, moves none of the four: then there is nothing to map.
    IF inserted OR type_moved OR phase_moved OR NEW.current_phase IS NULL OR filling <> '' THEN
        mapped := migration_map_current_phase(NEW.campaign_type::text);
        differs := coalesce(NEW.campaign_type::text NOT IN ('comprehensive', 'automated'), true)
            AND mapped IS DISTINCT FROM NEW.current_phase::text;
        contradicts := differs AND NEW.current_phase IS NOT NULL
            AND migration_map_campaign_type(NEW.current_phase::text) IS DISTINCT FROM NEW.campaign_type::text;
        IF NEW.current_phase IS NULL OR (type_moved AND NOT phase_moved) OR (differs AND filling = 'legacy') THEN
            NEW.current_phase := mapped;
            IF NEW.current_phase IS NULL THEN
                RAISE EXCEPTION 'campaign_type % of campaign % maps to no phase', quote_nullable(NEW.campaign_type), NEW.id
                    USING ERRCODE = 'check_violation',
                          HINT = 'Use a known campaign_type, or map this one in the run''s parameters.';
            END IF;
        ELSIF contradicts AND (inserted OR phase_moved OR filling = 'phases') THEN
            IF type_moved THEN
                RAISE EXCEPTION 'campaign %: campaign_type % and current_phase % contradict each other',
                    NEW.id, NEW.campaign_type, NEW.current_phase USING ERRCODE = 'check_violation';
            END IF;
            NEW.campaign_type := migration_map_campaign_type(NEW.current_phase::text);
            IF NEW.campaign_type IS NULL THEN
                RAISE EXCEPTION 'current_phase % of campaign % is none of the phases', NEW.current_phase, NEW.id
                    USING ERRCODE = 'check_violation';
            END IF;
        END IF;
    END IF;

    IF inserted OR status_moved OR phase_status_moved OR NEW.phase_status IS NULL OR filling <> '' THEN
        mapped := migration_map_phase_status(NEW.status::text);
        differs := mapped IS DISTINCT FROM NEW.phase_status::text;
        contradicts := differs AND NEW.phase_status IS NOT NULL
            AND migration_map_status(NEW.phase_status::text) IS DISTINCT FROM NEW.status::text;
        IF NEW.phase_status IS NULL OR (status_moved AND NOT phase_status_moved) OR (differs AND filling = 'legacy') THEN
            NEW.phase_status := mapped;
            IF NEW.phase_status IS NULL THEN
                RAISE EXCEPTION 'status % of campaign % maps to no phase status', quote_nullable(NEW.status), NEW.id
                    USING ERRCODE = 'check_violation', HINT = 'Use a known status, or map this one in the run''s parameters.';
            END IF;
        ELSIF contradicts AND (inserted OR phase_status_moved OR filling = 'phases') THEN
            IF status_moved THEN
                RAISE EXCEPTION 'campaign %: status % and phase_status % contradict each other',
                    NEW.id, NEW.status, NEW.phase_status USING ERRCODE = 'check_violation';
            END IF;
            NEW.status := migration_map_status(NEW.phase_status::text);
            IF NEW.status IS NULL THEN
                RAISE EXCEPTION 'phase_status % of campaign % is none of the phase statuses', NEW.phase_status, NEW.id
                    USING ERRCODE = 'check_violation';
            END IF;
        END IF;
    END IF;

    -- Progress follows, unless this very statement sets it.
    IF inserted THEN
        IF coalesce(NEW.progress, 0) = 0 THEN
            NEW.progress := migration_map_progress(
                NEW.current_phase::text, NEW.phase_status::text, NEW.progress_percentage,
                NEW.domains, NEW.dns_validated_domains, NEW.http_validated_domains, NEW.leads);
        END IF;
    ELSIF filling <> '' OR NEW.progress IS NOT DISTINCT FROM OLD.progress AND (
            (NEW.current_phase, NEW.phase_status, NEW.progress_percentage,
             NEW.domains, NEW.dns_validated_domains, NEW.http_validated_domains, NEW.leads)
            IS DISTINCT FROM
            (OLD.current_phase, OLD.phase_status, OLD.progress_percentage,
             OLD.domains, OLD.dns_validated_domains, OLD.http_validated_domains, OLD.leads)) THEN
        NEW.progress := migration_map_progress(
            NEW.current_phase::text, NEW.phase_status::text, NEW.progress_percentage,
            NEW.domains, NEW.dns_validated_domains, NEW.http_validated_domains, NEW.leads);
    END IF;
    RETURN NEW;
END
$function$;

-- The functions that the triggers on campaigns call. They need no lock, and so they come ahead of it.
CREATE OR REPLACE FUNCTION migration_prepare_sync()
RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(format('%I.campaigns', current_schema()))
               AND tgname = 'zzy_migration_sync_models') THEN
        RETURN;
    END IF;
    PERFORM migration_write_keep_row();
    EXECUTE format(
        $body$
        CREATE OR REPLACE FUNCTION migration_keep_legacy_values() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = %1$I, pg_temp AS $inner$
        BEGIN
            IF TG_OP = 'DELETE' THEN
                DELETE FROM migration_legacy_values WHERE campaign_id = OLD.id;
                RETURN NULL;
            END IF;
            INSERT INTO migration_legacy_values AS kept (campaign_id, campaign_type, status, launch_sequence)
            VALUES (NEW.id, NEW.campaign_type, NEW.status, %2$s)
            ON CONFLICT (campaign_id) DO UPDATE
            SET campaign_type = excluded.campaign_type, status = excluded.status,
                launch_sequence = excluded.launch_sequence;
            RETURN NULL;
        END
        $inner$
        $body$, current_schema(), CASE WHEN migration_has_column('launch_sequence') THEN 'NEW.launch_sequence' ELSE 'NULL' END);
    REVOKE ALL ON FUNCTION migration_keep_legacy_values() FROM PUBLIC;
END
$function$;

-- The triggers that keep both models in step, and the mirror of the legacy values. In one transaction with the columns: a
-- phases writer that found columns without these triggers would leave a row that contradicts itself.
CREATE OR REPLACE FUNCTION migration_install_sync()
RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(format('%I.campaigns', current_schema()))
               AND tgname = 'zzy_migration_sync_models') THEN
        RETURN;
    END IF;
    INSERT INTO migration_saved_objects (position, kind, identity) VALUES (0, 'expanded', 'campaigns')
    ON CONFLICT DO NOTHING;
    PERFORM migration_lock_campaigns();
    CREATE TRIGGER zzy_migration_sync_models BEFORE INSERT OR UPDATE ON campaigns
        FOR EACH ROW EXECUTE FUNCTION migration_sync_models();
    CREATE TRIGGER migration_keep_legacy_values AFTER INSERT OR DELETE ON campaigns
        FOR EACH ROW EXECUTE FUNCTION migration_keep_legacy_values();
    EXECUTE format(
        'CREATE TRIGGER migration_keep_legacy_values_update AFTER UPDATE ON campaigns FOR EACH ROW'
        ' WHEN (OLD.campaign_type::text IS DISTINCT FROM NEW.campaign_type::text'
        ' OR OLD.status::text IS DISTINCT FROM NEW.status::text%s)'
        ' EXECUTE FUNCTION migration_keep_legacy_values()',
        CASE WHEN migration_has_column('launch_sequence')
             THEN ' OR OLD.launch_sequence IS DISTINCT FROM NEW.launch_sequence' ELSE '' END);
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(format('%I.campaigns', current_schema()))
                   AND tgname = 'zzz_campaigns_keep_row') THEN
        CREATE TRIGGER zzz_campaigns_keep_row BEFORE UPDATE ON campaigns FOR EACH ROW
        WHEN (current_setting('campaign_metrics.folding', true) = 'on')
        EXECUTE FUNCTION campaigns_keep_row();
    END IF;
END
$function$;

-- Metrics: statement triggers append differences, for INSERT, COPY, UPDATE, MERGE, ON CONFLICT and cascades alike.
-- Their search path is that of whoever creates them until the end of this block pins it to this one schema: triggers that
-- are at work already never run without.
CREATE OR REPLACE FUNCTION campaign_metrics_on_insert()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
BEGIN
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> 'generated_domains'::regclass THEN
        RETURN NULL;  -- a partition that was detached since
    END IF;
    INSERT INTO campaign_metric_changes
        (transaction_id, campaign_id, domains, dns_validated_domains, http_validated_domains, leads, folds)
    SELECT pg_current_xact_id(), n.domain_generation_campaign_id, count(*),
           count(*) FILTER (WHERE n.dns_status = 'ok'), count(*) FILTER (WHERE n.http_status = 'ok'),
           count(*) FILTER (WHERE n.lead_score > 0), row_number() OVER () = 1
    FROM new_rows AS n
    GROUP BY n.domain_generation_campaign_id;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION campaign_metrics_on_delete()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
BEGIN
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> 'generated_domains'::regclass THEN
        RETURN NULL;  -- a partition that was detached since
    END IF;
    INSERT INTO campaign_metric_changes
        (transaction_id, campaign_id, domains, dns_validated_domains, http_validated_domains, leads, folds)
    SELECT pg_current_xact_id(), o.domain_generation_campaign_id, -count(*),
           -count(*) FILTER (WHERE o.dns_status = 'ok'), -count(*) FILTER (WHERE o.http_status = 'ok'),
           -count(*) FILTER (WHERE o.lead_score > 0), row_number() OVER () = 1
    FROM old_rows AS o
    GROUP BY o.domain_generation_campaign_id;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION campaign_metrics_on_update()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    lost uuid[];
BEGIN
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> 'generated_domains'::regclass THEN
        RETURN NULL;  -- a partition that was detached since
    END IF;
    -- MERGE on a partitioned table, once it has inserted a row, hands that row on in the place of each that it updates afterwards
    -- (seen on PostgreSQL 15 to 18): rows that are there, but not among the new ones, are looked up.
    IF pg_partition_root(TG_RELID) IS NOT NULL THEN
        SELECT array_agg(o.id) INTO lost FROM old_rows AS o WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE n.id = o.id);
        IF lost IS NOT NULL AND EXISTS (SELECT FROM generated_domains AS g WHERE g.id = ANY (lost)) THEN
            INSERT INTO campaign_metric_changes
                (transaction_id, campaign_id, domains, dns_validated_domains, http_validated_domains, leads, folds)
            SELECT pg_current_xact_id(), s.domain_generation_campaign_id, sum(s.factor),
                   coalesce(sum(s.factor) FILTER (WHERE s.dns_status = 'ok'), 0),
                   coalesce(sum(s.factor) FILTER (WHERE s.http_status = 'ok'), 0),
                   coalesce(sum(s.factor) FILTER (WHERE s.lead_score > 0), 0), row_number() OVER () = 1
            FROM (
                SELECT 1 AS factor, n.domain_generation_campaign_id, n.dns_status, n.http_status, n.lead_score
                FROM new_rows AS n WHERE EXISTS (SELECT FROM old_rows AS o WHERE o.id = n.id)
                UNION ALL
                SELECT 1, g.domain_generation_campaign_id, g.dns_status, g.http_status, g.lead_score
                FROM generated_domains AS g WHERE g.id = ANY (lost)
                UNION ALL
                SELECT -1, o.domain_generation_campaign_id, o.dns_status, o.http_status, o.lead_score FROM old_rows AS o
            ) AS s
            GROUP BY s.domain_generation_campaign_id;
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO campaign_metric_changes
        (transaction_id, campaign_id, domains, dns_validated_domains, http_validated_domains, leads, folds)
    SELECT pg_current_xact_id(), s.campaign_id, sum(s.domains), sum(s.dns), sum(s.http), sum(s.leads),
           row_number() OVER () = 1
    FROM (
        SELECT n.domain_generation_campaign_id AS campaign_id, 1 AS domains,
               CASE WHEN n.dns_status = 'ok' THEN 1 ELSE 0 END AS dns,
               CASE WHEN n.http_status = 'ok' THEN 1 ELSE 0 END AS http,
               CASE WHEN n.lead_score > 0 THEN 1 ELSE 0 END AS leads
        FROM new_rows AS n
        UNION ALL
        SELECT o.domain_generation_campaign_id, -1,
               CASE WHEN o.dns_status = 'ok' THEN -1 ELSE 0 END,
               CASE WHEN o.http_status = 'ok' THEN -1 ELSE 0 END,
               CASE WHEN o.lead_score > 0 THEN -1 ELSE 0 END
        FROM old_rows AS o
    ) AS s
    GROUP BY s.campaign_id
    HAVING (sum(s.domains), sum(s.dns), sum(s.http), sum(s.leads)) IS DISTINCT FROM (0, 0, 0, 0);
    RETURN NULL;
END
$function$;

-- TRUNCATE has no transition tables, but nobody else is writing while it holds its lock: every count is zero.
CREATE OR REPLACE FUNCTION campaign_metrics_on_truncate()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    was_folding text := current_setting('campaign_metrics.folding', true);
BEGIN
    -- Those being counted, too: a batch that is filling them holds their lines in the baseline.
    PERFORM FROM campaigns AS c
    WHERE (c.domains, c.leads, c.dns_validated_domains, c.http_validated_domains) IS DISTINCT FROM (0, 0, 0, 0)
       OR EXISTS (SELECT FROM campaign_metrics_baseline AS b WHERE b.campaign_id = c.id)
    ORDER BY c.id FOR NO KEY UPDATE;
    DELETE FROM campaign_metric_changes;
    UPDATE campaign_metrics_baseline
    SET domains = 0, leads = 0, dns_validated_domains = 0, http_validated_domains = 0;
    PERFORM set_config('campaign_metrics.folding', 'on', true);
    UPDATE campaigns SET domains = 0, leads = 0, dns_validated_domains = 0, http_validated_domains = 0
    WHERE (domains, leads, dns_validated_domains, http_validated_domains) IS DISTINCT FROM (0, 0, 0, 0);
    PERFORM set_config('campaign_metrics.folding', coalesce(nullif(was_folding, ''), 'off'), true);
    RETURN NULL;
END
$function$;

-- TRUNCATE of one partition: its rows are counted before they are gone. TRUNCATE of the whole table comes here, too, and what
-- this appends the trigger above removes.
CREATE OR REPLACE FUNCTION campaign_metrics_on_partition_truncate()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
BEGIN
    IF pg_partition_root(TG_RELID) IS DISTINCT FROM 'generated_domains'::regclass THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'INSERT INTO campaign_metric_changes'
        ' (transaction_id, campaign_id, domains, dns_validated_domains, http_validated_domains, leads, folds)'
        ' SELECT pg_current_xact_id(), o.domain_generation_campaign_id, -count(*),'
        ' -count(*) FILTER (WHERE o.dns_status = ''ok''), -count(*) FILTER (WHERE o.http_status = ''ok''),'
        ' -count(*) FILTER (WHERE o.lead_score > 0), row_number() OVER () = 1'
        ' FROM %s AS o GROUP BY o.domain_generation_campaign_id', TG_RELID::regclass);
    RETURN NULL;
END
$function$;

-- Puts the triggers of the metrics on generated_domains and, where it is partitioned, on every partition: a statement that
-- names a partition fires the triggers of that partition alone. Stays after the contract, for partitions that come later;
-- rows that a partition brings with it are not counted by this. Returns the tables that lacked them.
CREATE OR REPLACE FUNCTION campaign_metrics_cover_partitions()
RETURNS SETOF regclass LANGUAGE plpgsql AS $function$
DECLARE
    target record;
BEGIN
    FOR target IN
        SELECT 'generated_domains'::regclass AS relation, true AS is_root, false AS is_leaf
        UNION ALL
        SELECT p.relid, false, p.isleaf FROM pg_partition_tree('generated_domains'::regclass) AS p
        WHERE p.relid <> 'generated_domains'::regclass
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = target.relation AND tgname = 'zzz_campaign_metrics_insert');
        EXECUTE format(
            'CREATE TRIGGER zzz_campaign_metrics_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION campaign_metrics_on_insert()', target.relation);
        EXECUTE format(
            'CREATE TRIGGER zzz_campaign_metrics_update AFTER UPDATE ON %s REFERENCING NEW TABLE AS new_rows'
            ' OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION campaign_metrics_on_update()', target.relation);
        EXECUTE format(
            'CREATE TRIGGER zzz_campaign_metrics_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION campaign_metrics_on_delete()', target.relation);
        IF target.is_root THEN
            EXECUTE format(
                'CREATE TRIGGER zzz_campaign_metrics_truncate AFTER TRUNCATE ON %s'
                ' FOR EACH STATEMENT EXECUTE FUNCTION campaign_metrics_on_truncate()', target.relation);
        ELSIF target.is_leaf THEN
            EXECUTE format(
                'CREATE TRIGGER zzz_campaign_metrics_truncate BEFORE TRUNCATE ON %s'
                ' FOR EACH STATEMENT EXECUTE FUNCTION campaign_metrics_on_partition_truncate()', target.relation);
        END IF;
        RETURN NEXT target.relation;
    END LOOP;
END
$function$;

-- At commit: the campaigns that this transaction changed. Who changed several never waits for one while holding another: what
-- is busy makes it let go of all, wait for that one, and try the others again. So transactions that write domains never
-- wait in a circle, not even with one that has locked rows of campaigns in an order of its own.
-- A campaign that is being counted keeps its differences until its count is in.
CREATE OR REPLACE FUNCTION campaign_metrics_fold()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    -- A function's own SET clause would do this by itself, but only a superuser may give it for a setting of this kind.
    was_folding text := coalesce(nullif(current_setting('campaign_metrics.folding', true), ''), 'off');
    concerned uuid[];
    candidate uuid;
    busy uuid;
    waiting boolean := false;
    locked boolean := false;
BEGIN
    -- The argument is the transaction that began the last count. A snapshot from before it does not know who is counted.
    IF NOT pg_visible_in_snapshot(TG_ARGV[0]::xid8, pg_current_snapshot())
       AND TG_ARGV[0]::xid8 <> pg_current_xact_id() THEN
        RAISE EXCEPTION 'could not serialize access: this transaction began before the domain metrics were set up'
            USING ERRCODE = 'serialization_failure', HINT = 'Retry the transaction.';
    END IF;

    -- Nearly always: one difference of one campaign, which is not being counted and, while this transaction is under way,
    -- will not be.
    IF NOT EXISTS (SELECT FROM campaign_metric_changes WHERE transaction_id = NEW.transaction_id AND id <> NEW.id)
       AND NOT EXISTS (SELECT FROM campaign_metrics_baseline WHERE campaign_id = NEW.campaign_id) THEN
        DELETE FROM campaign_metric_changes WHERE transaction_id = NEW.transaction_id AND id = NEW.id;
        IF FOUND THEN  -- else an earlier call in this transaction took it
            PERFORM set_config('campaign_metrics.folding', 'on', true);
            UPDATE campaigns AS c
            SET domains = coalesce(c.domains, 0) + NEW.domains,
                dns_validated_domains = coalesce(c.dns_validated_domains, 0) + NEW.dns_validated_domains,
                http_validated_domains = coalesce(c.http_validated_domains, 0) + NEW.http_validated_domains,
                leads = coalesce(c.leads, 0) + NEW.leads
            WHERE c.id = NEW.campaign_id;
            PERFORM set_config('campaign_metrics.folding', was_folding, true);
        END IF;
        RETURN NULL;
    END IF;

    SELECT array_agg(DISTINCT campaign_id) INTO concerned
    FROM campaign_metric_changes WHERE transaction_id = NEW.transaction_id;
    IF concerned IS NULL THEN
        RETURN NULL;
    END IF;
    FOR attempt IN 1..CASE WHEN cardinality(concerned) > 1 THEN 50 ELSE 0 END LOOP
        BEGIN
            IF busy IS NOT NULL THEN
                waiting := true;
                PERFORM FROM campaigns WHERE id = busy FOR NO KEY UPDATE;
                waiting := false;
            END IF;
            FOREACH candidate IN ARRAY concerned LOOP
                PERFORM FROM campaigns WHERE id = candidate FOR NO KEY UPDATE NOWAIT;
            END LOOP;
            locked := true;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF waiting THEN
                RAISE;  -- the application's own lock timeout
            END IF;
            busy := candidate;
        END;
    END LOOP;
    IF NOT locked THEN
        PERFORM FROM campaigns WHERE id = ANY (concerned) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    PERFORM set_config('campaign_metrics.folding', 'on', true);
    WITH folded AS (
        DELETE FROM campaign_metric_changes AS ch
        WHERE ch.transaction_id = pg_current_xact_id()
          AND NOT EXISTS (SELECT FROM campaign_metrics_baseline AS b WHERE b.campaign_id = ch.campaign_id)
        RETURNING ch.campaign_id, ch.domains, ch.dns_validated_domains, ch.http_validated_domains, ch.leads
    )
    UPDATE campaigns AS c
    SET domains = coalesce(c.domains, 0) + s.domains,
        dns_validated_domains = coalesce(c.dns_validated_domains, 0) + s.dns,
        http_validated_domains = coalesce(c.http_validated_domains, 0) + s.http,
        leads = coalesce(c.leads, 0) + s.leads
    FROM (
        SELECT f.campaign_id, sum(f.domains) AS domains, sum(f.dns_validated_domains) AS dns,
               sum(f.http_validated_domains) AS http, sum(f.leads) AS leads
        FROM folded AS f GROUP BY f.campaign_id
    ) AS s
    WHERE c.id = s.campaign_id
      AND (s.domains, s.dns, s.http, s.leads) IS DISTINCT FROM (0, 0, 0, 0);
    PERFORM set_config('campaign_metrics.folding', was_folding, true);
    RETURN NULL;
END
$function$;

-- Every campaign marked as uncounted, ahead of the triggers and without their lock. Those that come later stand in
-- migration_legacy_values, where the sync writes them.
CREATE OR REPLACE FUNCTION migration_mark_uncounted()
RETURNS void LANGUAGE sql AS $function$
    INSERT INTO campaign_metrics_baseline (campaign_id) SELECT id FROM campaigns ON CONFLICT DO NOTHING;
$function$;

-- All triggers of the metrics, and the last campaigns marked, in one short lock: whoever writes domains later is recorded,
-- and nobody who wrote earlier is still under way.
CREATE OR REPLACE FUNCTION migration_install_metrics()
RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgname = 'campaign_metric_changes_fold'
               AND tgrelid = to_regclass(format('%I.campaign_metric_changes', current_schema()))) THEN
        RETURN;
    END IF;
    LOCK TABLE generated_domains IN SHARE ROW EXCLUSIVE MODE;
    PERFORM set_config('migration.locked_at', clock_timestamp()::text, false);
    PERFORM campaign_metrics_cover_partitions();
    IF EXISTS (SELECT FROM campaign_metrics_baseline) THEN
        INSERT INTO campaign_metrics_baseline (campaign_id)
        SELECT campaign_id FROM migration_legacy_values ON CONFLICT DO NOTHING;
    ELSE
        PERFORM migration_mark_uncounted();
    END IF;
    EXECUTE format(
        'CREATE CONSTRAINT TRIGGER campaign_metric_changes_fold AFTER INSERT ON campaign_metric_changes'
        ' DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.folds) EXECUTE FUNCTION campaign_metrics_fold(%L)',
        pg_current_xact_id());
END
$function$;

-- One pass over generated_domains, under the snapshot of this one statement and without a row lock. What later
-- transactions do stands in campaign_metric_changes under a transaction id that this snapshot does not see.
CREATE OR REPLACE FUNCTION migration_count_metrics()
RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    counted bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM campaign_metrics_baseline WHERE counted_in IS NULL) THEN
        RETURN 0;
    END IF;
    UPDATE campaign_metrics_baseline AS b
    SET counted_in = pg_current_snapshot(), domains = s.domains, dns_validated_domains = s.dns,
        http_validated_domains = s.http, leads = s.leads
    FROM (
        SELECT u.campaign_id, coalesce(d.domains, 0) AS domains, coalesce(d.dns, 0) AS dns,
               coalesce(d.http, 0) AS http, coalesce(d.leads, 0) AS leads
        FROM campaign_metrics_baseline AS u
        LEFT JOIN (
            SELECT domain_generation_campaign_id AS campaign_id, count(*) AS domains,
                   count(*) FILTER (WHERE dns_status = 'ok') AS dns,
                   count(*) FILTER (WHERE http_status = 'ok') AS http,
                   count(*) FILTER (WHERE lead_score > 0) AS leads
            FROM generated_domains GROUP BY domain_generation_campaign_id
        ) AS d ON d.campaign_id = u.campaign_id
        WHERE u.counted_in IS NULL
    ) AS s
    WHERE b.campaign_id = s.campaign_id;
    GET DIAGNOSTICS counted = ROW_COUNT;
    RETURN counted;
END
$function$;

-- One batch: up to batch_size counted campaigns after a key get their metrics, and with the update that the sync sees their
-- phases and progress; their legacy values are kept. Rows that somebody holds are passed over and taken in a later round, so that a batch waits for nobody.
CREATE OR REPLACE FUNCTION migration_fill_batch(
    after_id uuid, batch_size integer, prefer text, OUT last_id uuid, OUT filled bigint
)
LANGUAGE plpgsql AS $function$
DECLARE
    batch uuid[];
    written bigint;
BEGIN
    SELECT array_agg(locked.id ORDER BY locked.id) INTO batch
    FROM (
        SELECT c.id FROM campaigns AS c
        JOIN campaign_metrics_baseline AS b ON b.campaign_id = c.id
        WHERE b.counted_in IS NOT NULL AND (after_id IS NULL OR c.id > after_id)
        ORDER BY c.id LIMIT batch_size
        FOR NO KEY UPDATE OF c SKIP LOCKED
    ) AS locked;
    filled := coalesce(cardinality(batch), 0);
    last_id := batch[filled];
    IF filled = 0 THEN
        RETURN;
    END IF;
    PERFORM set_config('campaign_metrics.folding', 'on', true),
            set_config('migration.prefer', CASE WHEN prefer IN ('phases', 'legacy') THEN prefer ELSE 'keep' END, true);
    WITH seen_later AS (
        DELETE FROM campaign_metric_changes AS ch USING campaign_metrics_baseline AS b
        WHERE ch.campaign_id = ANY (batch) AND b.campaign_id = ch.campaign_id
        RETURNING ch.campaign_id, NOT pg_visible_in_snapshot(ch.transaction_id, b.counted_in) AS later,
                  ch.domains, ch.dns_validated_domains, ch.http_validated_domains, ch.leads
    ), difference AS (
        SELECT campaign_id, sum(domains) AS domains, sum(dns_validated_domains) AS dns,
               sum(http_validated_domains) AS http, sum(leads) AS leads
        FROM seen_later WHERE later GROUP BY campaign_id
    ), counted AS (
        DELETE FROM campaign_metrics_baseline WHERE campaign_id = ANY (batch) RETURNING *
    )
    UPDATE campaigns AS c
    SET domains = n.domains + coalesce(d.domains, 0),
        dns_validated_domains = n.dns_validated_domains + coalesce(d.dns, 0),
        http_validated_domains = n.http_validated_domains + coalesce(d.http, 0),
        leads = n.leads + coalesce(d.leads, 0)
    FROM counted AS n LEFT JOIN difference AS d ON d.campaign_id = n.campaign_id
    WHERE c.id = n.campaign_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < filled THEN
        RAISE EXCEPTION '% of % campaigns could not be filled, as a trigger keeps them from being updated without a word (up to %)',
            filled - written, filled, last_id
            USING ERRCODE = 'triggered_data_change_violation',
                  HINT = (SELECT format('One of these returns NULL: %s.', string_agg(t.tgname, ', ' ORDER BY t.tgname))
                          FROM pg_trigger AS t
                          WHERE t.tgrelid = to_regclass(format('%I.campaigns', current_schema())) AND NOT t.tgisinternal
                            AND t.tgenabled IN ('O', 'A') AND t.tgtype & 19 = 19  -- row, before, update
                            AND t.tgname NOT IN ('zzy_migration_sync_models', 'zzz_campaigns_keep_row'));
    END IF;
    PERFORM set_config('campaign_metrics.folding', 'off', true), set_config('migration.prefer', '', true);
    EXECUTE format(
        'INSERT INTO migration_legacy_values AS kept (campaign_id, campaign_type, status, launch_sequence)'
        ' SELECT id, campaign_type, status, %s FROM campaigns WHERE id = ANY ($1)'
        ' ON CONFLICT (campaign_id) DO UPDATE SET campaign_type = excluded.campaign_type,'
        ' status = excluded.status, launch_sequence = excluded.launch_sequence',
        CASE WHEN migration_has_column('launch_sequence') THEN 'launch_sequence' ELSE 'NULL::boolean' END) USING batch;
END
$function$;

-- What is left of campaigns that were deleted while they were counted.
CREATE OR REPLACE FUNCTION migration_forget_deleted()
RETURNS void LANGUAGE sql AS $function$
    DELETE FROM campaign_metrics_baseline AS b WHERE NOT EXISTS (SELECT FROM campaigns AS c WHERE c.id = b.campaign_id);
    DELETE FROM campaign_metric_changes AS ch
    WHERE ch.transaction_id <> pg_current_xact_id()
      AND NOT EXISTS (SELECT FROM campaigns AS c WHERE c.id = ch.campaign_id);
$function$;

-- Contradictions between filled phases and legacy values: a person decides which side wins. Once both models are in step,
-- what the sync writes for a phases value is none.
CREATE OR REPLACE FUNCTION migration_refuse_contradictions()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    in_step boolean := EXISTS (SELECT FROM migration_saved_objects WHERE kind = 'expanded');
    found bigint;
    keys text;
BEGIN
    IF NOT migration_has_column('current_phase') OR NOT migration_has_column('phase_status') THEN
        RETURN;
    END IF;
    SELECT count(*), string_agg(id::text, ', ') FILTER (WHERE ordinal <= 20) INTO found, keys
    FROM (
        SELECT id, row_number() OVER (ORDER BY id) AS ordinal FROM campaigns
        WHERE (current_phase IS NOT NULL AND campaign_type::text NOT IN ('comprehensive', 'automated')
               AND migration_map_current_phase(campaign_type::text) IS DISTINCT FROM current_phase::text
               AND NOT (in_step AND migration_map_campaign_type(current_phase::text) IS NOT DISTINCT FROM campaign_type::text))
           OR (phase_status IS NOT NULL AND migration_map_phase_status(status::text) IS DISTINCT FROM phase_status::text
               AND NOT (in_step AND migration_map_status(phase_status::text) IS NOT DISTINCT FROM status::text))
    ) AS contradicting;
    IF found > 0 THEN
        RAISE EXCEPTION '% campaign(s) have phases that contradict their legacy values: %', found, keys
            USING ERRCODE = 'check_violation', HINT = 'SET migration.prefer_side = ''phases'' or ''legacy'' to say which side wins.';
    END IF;
END
$function$;

-- Values that nothing maps.
CREATE OR REPLACE FUNCTION migration_refuse_unknown_values()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    unknown text;
BEGIN
    SELECT string_agg(format('%s %s: %s campaign(s), such as %s', name, quote_nullable(value), rows, example), '; ')
    INTO unknown
    FROM (
        SELECT 'campaign_type' AS name, campaign_type::text AS value, count(*) AS rows, min(id::text) AS example
        FROM campaigns WHERE current_phase IS NULL AND migration_map_current_phase(campaign_type::text) IS NULL GROUP BY 2
        UNION ALL
        SELECT 'status', status::text, count(*), min(id::text)
        FROM campaigns WHERE phase_status IS NULL AND migration_map_phase_status(status::text) IS NULL GROUP BY 2
    ) AS u;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown legacy values: %', unknown
            USING ERRCODE = 'check_violation',
                  HINT = 'Correct the rows, or add the value to migration_custom_mappings; nothing is mapped by a default.';
    END IF;
END
$function$;

-- The rules of the phases columns. NOT VALID takes a moment's lock; validation reads the table without keeping writers out.
CREATE OR REPLACE FUNCTION migration_add_checks()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    wanted record;
    additions text;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('campaigns_current_phase_check',
             'current_phase IN (''setup'', ''generation'', ''dns_validation'', ''http_keyword_validation'', ''analysis'')'),
            ('campaigns_phase_status_check',
             'phase_status IN (''not_started'', ''in_progress'', ''paused'', ''completed'', ''failed'')'),
            ('campaigns_progress_check', 'progress >= 0 AND progress <= 100'),
            ('campaigns_metrics_check', 'domains >= 0 AND leads >= 0 AND dns_validated_domains >= 0'
             ' AND http_validated_domains >= 0'),
            ('campaigns_phases_filled', 'current_phase IS NOT NULL AND phase_status IS NOT NULL AND progress IS NOT NULL'
             ' AND domains IS NOT NULL AND leads IS NOT NULL AND dns_validated_domains IS NOT NULL'
             ' AND http_validated_domains IS NOT NULL')
        ) AS w (name, expression)
    LOOP
        -- The same rule may have been there, not yet validated: it will be, and the way back makes it as it was.
        INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
        SELECT 891, 'earlier constraint', k.conname, concat_ws('; ',
            format('ALTER TABLE campaigns DROP CONSTRAINT IF EXISTS %1$I, ADD CONSTRAINT %1$I %2$s', k.conname, pg_get_constraintdef(k.oid)),
            format('COMMENT ON CONSTRAINT %I ON campaigns IS ', k.conname) || quote_literal(obj_description(k.oid, 'pg_constraint')))
        FROM pg_constraint AS k
        WHERE k.conrelid = to_regclass(format('%I.campaigns', current_schema())) AND k.conname = wanted.name
          AND NOT k.convalidated
          AND NOT EXISTS (SELECT FROM migration_saved_objects WHERE kind = 'added constraint' AND identity = wanted.name)
        ON CONFLICT DO NOTHING;
        -- The guard has seen to it that what bears the name says the same.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_constraint
            WHERE conrelid = to_regclass(format('%I.campaigns', current_schema())) AND conname = wanted.name);
        additions := concat_ws(', ', additions,
                               format('ADD CONSTRAINT %I CHECK (%s) NOT VALID', wanted.name, wanted.expression));
        INSERT INTO migration_saved_objects (position, kind, identity, drop_statement)
        VALUES (890, 'added constraint', wanted.name, format('ALTER TABLE campaigns DROP CONSTRAINT IF EXISTS %I', wanted.name));
    END LOOP;
    IF additions IS NOT NULL THEN
        PERFORM migration_lock_campaigns();
        EXECUTE 'ALTER TABLE campaigns ' || additions;
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION migration_validate_checks()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    pending text;
BEGIN
    FOR pending IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = to_regclass(format('%I.campaigns', current_schema())) AND NOT convalidated
          AND conname IN ('campaigns_current_phase_check', 'campaigns_phase_status_check', 'campaigns_progress_check',
                          'campaigns_metrics_check', 'campaigns_phases_filled')
    LOOP
        EXECUTE format('ALTER TABLE campaigns VALIDATE CONSTRAINT %I', pending);
    END LOOP;
END
$function$;

-- Everything that goes with the legacy columns, in the words that bring it back. Reads the catalog only.
CREATE OR REPLACE FUNCTION migration_record_legacy()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    legacy_numbers smallint[];
BEGIN
    DELETE FROM migration_saved_objects WHERE position BETWEEN 100 AND 599;
    SELECT array_agg(attnum ORDER BY attnum) INTO legacy_numbers FROM pg_attribute
    WHERE attrelid = campaigns_oid AND NOT attisdropped
      AND (attname IN ('campaign_type', 'status', 'launch_sequence') OR attname LIKE '%\_before\_000035');

    INSERT INTO migration_saved_objects (position, kind, identity, definition, comment, statistics_target, options, owner,
                                         grants, drop_statement, create_statement)
    SELECT 100, 'column', a.attname, format_type(a.atttypid, a.atttypmod), col_description(campaigns_oid, a.attnum),
           a.attstattarget, (SELECT array_agg(o) FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\_%'),
           pg_get_userbyid(c.relowner), a.attacl::text,
           format('ALTER TABLE campaigns DROP COLUMN %I', a.attname),
           format('ALTER TABLE campaigns ADD COLUMN %I %s', a.attname, format_type(a.atttypid, a.atttypmod))
           || CASE WHEN a.attcollation <> t.typcollation
                   THEN ' COLLATE ' || (SELECT format('%I.%I', n.nspname, k.collname) FROM pg_collation AS k
                                        JOIN pg_namespace AS n ON n.oid = k.collnamespace WHERE k.oid = a.attcollation)
                   ELSE '' END
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = campaigns_oid AND a.attnum = ANY (legacy_numbers)
    ORDER BY a.attnum;

    INSERT INTO migration_saved_objects (position, kind, identity, definition, create_statement)
    SELECT 200, 'column default', a.attname, pg_get_expr(d.adbin, d.adrelid),
           format('ALTER TABLE campaigns ALTER COLUMN %I SET DEFAULT %s', a.attname, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute AS a JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = campaigns_oid AND a.attnum = ANY (legacy_numbers) ORDER BY a.attnum;

    -- From PostgreSQL 18 on NOT NULL is a constraint with a name of its own.
    INSERT INTO migration_saved_objects (position, kind, identity, definition, comment, create_statement)
    SELECT 210, 'column not null', a.attname, n.conname, obj_description(n.oid, 'pg_constraint'),
           CASE WHEN n.conname IS NULL THEN format('ALTER TABLE campaigns ALTER COLUMN %I SET NOT NULL', a.attname)
                ELSE format('ALTER TABLE campaigns ADD CONSTRAINT %I %s', n.conname, pg_get_constraintdef(n.oid)) END
    FROM pg_attribute AS a
    LEFT JOIN pg_constraint AS n ON n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum]
    WHERE a.attrelid = campaigns_oid AND a.attnum = ANY (legacy_numbers) AND a.attnotnull ORDER BY a.attnum;
    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    SELECT 220, 'column settings', a.attname, concat_ws(', ',
        'ALTER TABLE campaigns ' || CASE WHEN coalesce(a.attstattarget, -1) >= 0
            THEN format('ALTER COLUMN %I SET STATISTICS %s', a.attname, a.attstattarget) END,
        CASE WHEN a.attstorage <> t.typstorage THEN
            CASE WHEN coalesce(a.attstattarget, -1) >= 0 THEN '' ELSE 'ALTER TABLE campaigns ' END
            || format('ALTER COLUMN %I SET STORAGE %s', a.attname,
                CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END)
    FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = campaigns_oid AND a.attnum = ANY (legacy_numbers)
      AND (coalesce(a.attstattarget, -1) >= 0 OR a.attstorage <> t.typstorage) ORDER BY a.attnum;
    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    -- Newer servers keep numbers of their own there (pg_attver), which are nobody's to set.
    SELECT 221, 'column options', a.attname,
           format('ALTER TABLE campaigns ALTER COLUMN %I SET (%s)', a.attname, string_agg(o.option, ', ' ORDER BY o.position))
    FROM pg_attribute AS a
    CROSS JOIN LATERAL unnest(a.attoptions) WITH ORDINALITY AS o (option, position)
    WHERE a.attrelid = campaigns_oid AND a.attnum = ANY (legacy_numbers) AND o.option NOT LIKE 'pg\_%'
    GROUP BY a.attnum, a.attname ORDER BY a.attnum;
    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    SELECT 222, 'column compression', a.attname,
           format('ALTER TABLE campaigns ALTER COLUMN %I SET COMPRESSION %s', a.attname,
                  CASE a.attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END)
    FROM pg_attribute AS a
    WHERE a.attrelid = campaigns_oid AND a.attnum = ANY (legacy_numbers) AND a.attcompression <> '' ORDER BY a.attnum;

    -- A foreign key, such as to a table of the values that are allowed, is a rule like another: it goes and comes back as a check does.
    INSERT INTO migration_saved_objects (position, kind, identity, definition, comment, drop_statement, create_statement)
    SELECT 230, 'check constraint', k.conname, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'),
           format('ALTER TABLE campaigns DROP CONSTRAINT %I', k.conname),
           format('ALTER TABLE campaigns ADD CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid))
    FROM pg_constraint AS k
    WHERE k.conrelid = campaigns_oid AND k.contype IN ('c', 'f') AND k.conkey <@ legacy_numbers ORDER BY k.conname;

    INSERT INTO migration_saved_objects (position, kind, identity, definition, comment, options, drop_statement,
                                         create_statement)
    SELECT 300, 'index', i.relname, pg_get_indexdef(x.indexrelid), obj_description(x.indexrelid, 'pg_class'), i.reloptions,
           format('DROP INDEX %I', i.relname), pg_get_indexdef(x.indexrelid)
    FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
    WHERE x.indrelid = campaigns_oid
      AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = x.indexrelid)
      AND EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = campaigns_oid
                    AND d.refobjsubid = ANY (legacy_numbers))
    ORDER BY i.relname;
    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    SELECT 310, 'index tablespace', s.identity, format('ALTER INDEX %I SET TABLESPACE %I', s.identity, t.spcname)
    FROM migration_saved_objects AS s
    JOIN pg_class AS i ON i.oid = to_regclass(format('%I.%I', current_schema(), s.identity))
    JOIN pg_tablespace AS t ON t.oid = i.reltablespace WHERE s.kind = 'index';
    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    SELECT 320, 'index statistics', s.identity || '.' || a.attnum,
           format('ALTER INDEX %I ALTER COLUMN %s SET STATISTICS %s', s.identity, a.attnum, a.attstattarget)
    FROM migration_saved_objects AS s
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('%I.%I', current_schema(), s.identity))
    WHERE s.kind = 'index' AND coalesce(a.attstattarget, -1) >= 0;
    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    SELECT 330, 'index mark', s.identity, format('ALTER TABLE campaigns CLUSTER ON %I', s.identity)
    FROM migration_saved_objects AS s
    JOIN pg_index AS x ON x.indexrelid = to_regclass(format('%I.%I', current_schema(), s.identity))
    WHERE s.kind = 'index' AND x.indisclustered;
    -- Without its index no row could be updated where the table is published; the primary key stands in meanwhile.
    INSERT INTO migration_saved_objects (position, kind, identity, drop_statement, create_statement)
    SELECT 335, 'index replica identity', s.identity, 'ALTER TABLE campaigns REPLICA IDENTITY DEFAULT',
           format('ALTER TABLE campaigns REPLICA IDENTITY USING INDEX %I', s.identity)
    FROM migration_saved_objects AS s
    JOIN pg_index AS x ON x.indexrelid = to_regclass(format('%I.%I', current_schema(), s.identity))
    WHERE s.kind = 'index' AND x.indisreplident;

    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    SELECT 400, 'comment', s.kind || ' ' || s.identity,
           CASE s.kind
               WHEN 'column' THEN format('COMMENT ON COLUMN campaigns.%I IS %L', s.identity, s.comment)
               WHEN 'column not null' THEN format('COMMENT ON CONSTRAINT %I ON campaigns IS %L', s.definition, s.comment)
               WHEN 'check constraint' THEN format('COMMENT ON CONSTRAINT %I ON campaigns IS %L', s.identity, s.comment)
               WHEN 'index' THEN format('COMMENT ON INDEX %I IS %L', s.identity, s.comment)
           END
    FROM migration_saved_objects AS s WHERE s.comment IS NOT NULL AND s.position BETWEEN 100 AND 399 ORDER BY s.id;

    -- Extended statistics over a legacy column, and publications that list one.
    INSERT INTO migration_saved_objects (position, kind, identity, definition, owner, drop_statement, create_statement)
    SELECT 350, 'statistics', format('%I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid),
           pg_get_userbyid(s.stxowner), format('DROP STATISTICS %I.%I', n.nspname, s.stxname),
           concat_ws('; ', pg_get_statisticsobjdef(s.oid),
                     format('ALTER STATISTICS %I.%I OWNER TO %I', n.nspname, s.stxname, pg_get_userbyid(s.stxowner)),
                     CASE WHEN coalesce(s.stxstattarget, -1) >= 0
                          THEN format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, s.stxname, s.stxstattarget) END,
                     'COMMENT ON STATISTICS ' || format('%I.%I IS %L', n.nspname, s.stxname, obj_description(s.oid, 'pg_statistic_ext')))
    FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace
    WHERE s.stxrelid = campaigns_oid
      AND EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_statistic_ext'::regclass AND d.objid = s.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = campaigns_oid
                    AND d.refobjsubid = ANY (legacy_numbers));

    -- PostgreSQL 14 knows no column lists, hence the detour over jsonb. A row filter on a legacy column is refused above.
    INSERT INTO migration_saved_objects (position, kind, identity, definition, drop_statement, create_statement)
    SELECT 340, 'publication', p.pubname, l.whole,
           format('ALTER PUBLICATION %1$I DROP TABLE ONLY campaigns; ALTER PUBLICATION %1$I ADD TABLE ONLY campaigns (%2$s)%3$s',
                  p.pubname, l.rest, l.filter),
           format('ALTER PUBLICATION %1$I DROP TABLE ONLY campaigns; ALTER PUBLICATION %1$I ADD TABLE ONLY campaigns (%2$s)%3$s',
                  p.pubname, l.whole, l.filter)
    FROM pg_publication AS p
    JOIN pg_publication_rel AS r ON r.prpubid = p.oid AND r.prrelid = campaigns_oid
    CROSS JOIN LATERAL (
        SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) AS whole,
               string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE a.attnum <> ALL (legacy_numbers)) AS rest,
               coalesce((SELECT ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')' FROM pg_publication_tables AS t
                         WHERE t.pubname = p.pubname AND t.schemaname = current_schema() AND t.tablename = 'campaigns'),
                        '') AS filter
        FROM pg_attribute AS a
        WHERE a.attrelid = campaigns_oid
          AND a.attnum = ANY (translate(to_jsonb(r) ->> 'prattrs', '[] ', '{}')::smallint[])
    ) AS l
    WHERE legacy_numbers && translate(to_jsonb(r) ->> 'prattrs', '[] ', '{}')::smallint[];

    INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
    SELECT 500, 'column grant', format('%s %s', a.attname, g.ordinality),
           format('GRANT %s (%I) ON TABLE campaigns TO %s%s', g.privilege_type, a.attname,
                  CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                  CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_attribute AS a
    CROSS JOIN LATERAL aclexplode(a.attacl) WITH ORDINALITY AS g (grantor, grantee, privilege_type, is_grantable, ordinality)
    WHERE a.attrelid = campaigns_oid AND a.attnum = ANY (legacy_numbers) ORDER BY a.attnum, g.ordinality;
END
$function$;

-- All of the transform up to both models being live, for those who run this by hand: nothing here destroys anything.
CREATE OR REPLACE FUNCTION migration_transform()
RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    prefer text := coalesce(current_setting('migration.prefer_side', true), '');
    last_id uuid;
    filled bigint;
    total bigint := 0;
    rounds integer := 0;
BEGIN
    IF prefer NOT IN ('', 'phases', 'legacy') THEN
        RAISE EXCEPTION 'migration.prefer_side is %, not phases or legacy', prefer USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM migration_backup_campaigns();
    PERFORM migration_find_inverse_mappings();
    IF prefer = '' THEN
        PERFORM migration_refuse_contradictions();
    END IF;
    PERFORM migration_prepare_sync();
    PERFORM migration_expand_columns();
    PERFORM migration_install_sync();
    PERFORM migration_refuse_unknown_values();
    IF prefer = '' THEN
        PERFORM migration_refuse_contradictions();
    END IF;
    PERFORM migration_install_metrics();
    PERFORM migration_count_metrics();
    LOOP
        SELECT b.last_id, b.filled INTO last_id, filled FROM migration_fill_batch(last_id, 1000, prefer) AS b;
        total := total + filled;
        IF filled = 0 THEN
            rounds := rounds + 1;
            PERFORM migration_forget_deleted();
            EXIT WHEN NOT EXISTS (SELECT FROM campaign_metrics_baseline);
            IF rounds > 50 THEN
                RAISE EXCEPTION '% campaign(s) stay locked by other sessions, such as %',
                    (SELECT count(*) FROM campaign_metrics_baseline),
                    (SELECT min(campaign_id::text) FROM campaign_metrics_baseline)
                    USING ERRCODE = 'lock_not_available', HINT = 'End those sessions (pg_stat_activity) and run this again.';
            END IF;
            PERFORM pg_sleep(0.1);
            last_id := NULL;
        END IF;
    END LOOP;
    RETURN total;
END
$function$;

-- What this migration has made belongs to the owner of campaigns, so that triggers and functions work on when the role that ran
-- it loses its rights or is gone, and none of them runs with more rights than the tables' owner has. It grants nothing to
-- PUBLIC, whatever default privileges say. Where the owner may not be given it, it stays with the role that made it: row level
-- security that is forced on an owner who does not bypass it would keep the metrics from being written.
-- The scripts that run alone have the same in a block of their own.
CREATE OR REPLACE FUNCTION migration_hand_over()
RETURNS void LANGUAGE plpgsql AS $function$
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
$function$;

-- What the functions find, they find in this schema; and nobody else is given the right to call them.
DO $block$
DECLARE
    helper regprocedure;
BEGIN
    FOR helper IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
          AND proname IN ('migration_has_column', 'migration_backup_campaigns', 'migration_find_inverse_mappings',
                          'migration_allows', 'migration_judge_phases_columns', 'migration_expand_columns',
                          'migration_sync_models',
                          'migration_create_keep_row', 'migration_write_keep_row', 'migration_lock_campaigns',
                          'migration_prepare_sync', 'migration_install_sync', 'campaign_metrics_on_insert',
                          'campaign_metrics_on_update', 'campaign_metrics_on_delete', 'campaign_metrics_on_truncate',
                          'campaign_metrics_on_partition_truncate', 'campaign_metrics_cover_partitions',
                          'campaign_metrics_fold', 'migration_install_metrics',
                          'migration_mark_uncounted', 'migration_count_metrics',
                          'migration_fill_batch', 'migration_forget_deleted', 'migration_refuse_contradictions',
                          'migration_refuse_unknown_values', 'migration_add_checks', 'migration_validate_checks',
                          'migration_record_legacy', 'migration_transform', 'migration_hand_over')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', helper, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', helper);
    END LOOP;
    PERFORM migration_hand_over();
END
$block$;
-- end block: toolkit

-- The contract: in one transaction or not at all. What the transform has done already is not done again, and then this
-- block holds its lock for a moment; run alone it holds it for one scan of generated_domains. Whatever can be done without
-- the lock is done before it: under it stands one list of statements and nothing else.
DO $block$
DECLARE
    is_legacy CONSTANT boolean := migration_has_column('campaign_type');
    statements text[];
    statement text;
    helpers text;
BEGIN
    IF NOT is_legacy THEN
        IF NOT migration_has_column('current_phase') THEN
            RAISE EXCEPTION 'campaigns has neither campaign_type nor current_phase' USING ERRCODE = 'undefined_column';
        END IF;
        RAISE NOTICE '000035: campaigns has no legacy columns, nothing to do';
    ELSE
        IF current_setting('lock_timeout') = '0' THEN
            -- An autovacuum gives way to a lock that has waited for deadlock_timeout, and whoever writes does not wait behind this.
            PERFORM set_config('lock_timeout', (SELECT s.setting::integer + 1000 FROM pg_settings AS s
                                                WHERE s.name = 'deadlock_timeout')::text || 'ms', true);
            IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'campaign_metric_changes_fold'
                           AND tgrelid = to_regclass(format('%I.campaign_metric_changes', current_schema()))) THEN
                LOCK TABLE generated_domains IN SHARE UPDATE EXCLUSIVE MODE;
            END IF;
            LOCK TABLE campaigns IN SHARE UPDATE EXCLUSIVE MODE;
            PERFORM set_config('lock_timeout', '900ms', true);
        END IF;
        PERFORM migration_transform();
        SET CONSTRAINTS ALL IMMEDIATE;
        PERFORM migration_add_checks();
        PERFORM migration_validate_checks();
        IF EXISTS (SELECT FROM campaigns AS c
                   WHERE NOT EXISTS (SELECT FROM migration_legacy_values AS v WHERE v.campaign_id = c.id)) THEN
            RAISE EXCEPTION 'the legacy values of some campaigns are not kept yet'
                USING ERRCODE = 'data_exception', HINT = 'Run migrate-campaign-data.sql again; nothing has been changed.';
        END IF;
    END IF;

    -- What the dashboards ask of all campaigns at once, by phase and status.
    CREATE OR REPLACE VIEW campaign_performance_metrics AS
    SELECT
        current_phase,
        phase_status,
        count(*) AS campaign_count,
        round(avg(domains), 2) AS avg_domains,
        round(avg(leads), 2) AS avg_leads,
        round(avg(dns_validated_domains), 2) AS avg_dns_validated_domains,
        round(avg(http_validated_domains), 2) AS avg_http_validated_domains,
        round(avg(progress), 2) AS avg_progress,
        round(avg(extract(EPOCH FROM completed_at - started_at))::numeric, 3) AS avg_duration_seconds
    FROM campaigns
    GROUP BY current_phase, phase_status;
    COMMENT ON VIEW campaign_performance_metrics IS 'phases migration: campaigns, averages and durations by phase and status';

    IF is_legacy THEN
        -- Recorded while nobody else can change the table's definition, and everybody its rows.
        LOCK TABLE campaigns IN SHARE UPDATE EXCLUSIVE MODE;
        PERFORM migration_record_legacy();
        PERFORM migration_create_keep_row();
        INSERT INTO migration_saved_objects (position, kind, identity, create_statement)
        SELECT 891, 'earlier constraint', k.conname,
               format('ALTER TABLE campaigns ADD CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid))
        FROM pg_constraint AS k
        WHERE k.conrelid = to_regclass(format('%I.campaigns', current_schema())) AND k.conname = 'campaigns_phases_filled'
          AND NOT EXISTS (SELECT FROM migration_saved_objects WHERE kind = 'added constraint' AND identity = k.conname)
        ON CONFLICT DO NOTHING;
        DELETE FROM migration_saved_objects WHERE kind = 'added constraint' AND identity = 'campaigns_phases_filled';
        -- One statement for all indexes and one for the table: each single one makes the server read the table's definition anew.
        SELECT array_agg(f.statement ORDER BY f.position, f.id) INTO statements
        FROM (
            SELECT 4000 + s.position AS position, s.id, s.rebuild_statement AS statement
            FROM migration_saved_objects AS s WHERE s.rebuild_statement IS NOT NULL
            UNION ALL
            SELECT 6000 - s.position, s.id, s.drop_statement
            FROM migration_saved_objects AS s
            WHERE s.position BETWEEN 100 AND 599 AND s.kind NOT IN ('index', 'check constraint', 'column')
              AND s.drop_statement IS NOT NULL
            UNION ALL
            SELECT 7000, 0, 'DROP INDEX ' || string_agg(format('%I', s.identity), ', ' ORDER BY s.id)
            FROM migration_saved_objects AS s WHERE s.kind = 'index' HAVING count(*) > 0
            UNION ALL
            SELECT 8000, 0, 'ALTER TABLE campaigns DROP CONSTRAINT campaigns_phases_filled, ' || string_agg(
                format('DROP %s %I', CASE s.kind WHEN 'column' THEN 'COLUMN' ELSE 'CONSTRAINT' END, s.identity), ', '
                ORDER BY s.position DESC, s.id)
            FROM migration_saved_objects AS s
            WHERE s.position BETWEEN 100 AND 599 AND s.kind IN ('check constraint', 'column')
        ) AS f;
        INSERT INTO migration_saved_objects (position, kind, identity) VALUES (0, 'contracted', 'campaigns');
        RAISE NOTICE '000035 drops from campaigns: %; migration_saved_objects holds what the way back needs', (
            SELECT string_agg(format('%s (%s)', d.kind, d.how_many), ', ' ORDER BY d.first)
            FROM (
                SELECT s.kind, count(*) AS how_many, min(s.position) AS first FROM migration_saved_objects AS s
                WHERE s.position BETWEEN 100 AND 599 AND s.drop_statement IS NOT NULL GROUP BY s.kind
            ) AS d);
    END IF;
    PERFORM migration_hand_over();

    -- The scaffolding goes; the mapping, the record and the metrics stay.
    SELECT 'DROP FUNCTION ' || string_agg(p.oid::regprocedure::text, ', ') INTO helpers
    FROM pg_proc AS p
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND (p.proname LIKE 'migration\_status\_%'
           OR p.proname IN ('migration_backup_campaigns', 'migration_find_inverse_mappings', 'migration_allows',
                            'migration_judge_phases_columns', 'migration_expand_columns', 'migration_create_keep_row',
                            'migration_install_sync', 'migration_install_metrics', 'migration_mark_uncounted',
                            'migration_refuse_contradictions', 'migration_refuse_unknown_values', 'migration_add_checks',
                            'migration_validate_checks', 'migration_record_legacy', 'migration_transform',
                            'migration_count_metrics', 'migration_fill_batch', 'migration_forget_deleted',
                            'migration_hand_over', 'migration_has_column', 'migration_write_keep_row',
                            'migration_lock_campaigns', 'migration_prepare_sync')
           OR NOT is_legacy AND p.proname = 'migration_sync_models');
    EXECUTE helpers;

    IF is_legacy THEN
        LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE;
        PERFORM set_config('migration.locked_at', clock_timestamp()::text, false);
        ALTER TABLE campaigns
            ALTER COLUMN current_phase SET DEFAULT 'setup', ALTER COLUMN current_phase SET NOT NULL,
            ALTER COLUMN phase_status SET DEFAULT 'not_started', ALTER COLUMN phase_status SET NOT NULL,
            ALTER COLUMN progress SET NOT NULL, ALTER COLUMN domains SET NOT NULL, ALTER COLUMN leads SET NOT NULL,
            ALTER COLUMN dns_validated_domains SET NOT NULL, ALTER COLUMN http_validated_domains SET NOT NULL;
        DROP TRIGGER zzy_migration_sync_models ON campaigns;
        DROP TRIGGER migration_keep_legacy_values ON campaigns;
        DROP TRIGGER migration_keep_legacy_values_update ON campaigns;
        DROP FUNCTION migration_sync_models(), migration_keep_legacy_values();
        FOREACH statement IN ARRAY statements LOOP
            EXECUTE statement;
        END LOOP;
    END IF;
END
$block$;
