-- 000035 back: the legacy columns with their own values, everything that went with them as it was recorded, and nothing left
-- of the phases that was not there before. Also takes back a transform that was never contracted. 000036 down comes first.
-- Whole or nothing; running it again does nothing.

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

-- block: domain_status_rows
-- The application's own BEFORE UPDATE triggers would stamp the domains that this migration writes. Where there are any that
-- such an update sets off, one of ours comes after them and keeps every other column as it was. Returns whether it is there.
CREATE OR REPLACE FUNCTION migration_status_keep_rows()
RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    domains_oid oid := to_regclass(format('%I.generated_domains', current_schema()));
    ours CONSTANT name := 'zzz_migration_keep_domain';
    first_name name;
    last_name name;
    assignments text;
BEGIN
    SELECT min(t.tgname), max(t.tgname) INTO first_name, last_name
    FROM pg_trigger AS t
    WHERE (t.tgrelid = domains_oid OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree(domains_oid) AS p))
      AND NOT t.tgisinternal AND t.tgname <> ours AND t.tgenabled IN ('O', 'A')
      AND t.tgtype & 19 = 19  -- row, before, update
      AND (cardinality(t.tgattr::smallint[]) = 0 OR EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::smallint[])
              AND a.attname IN ('dns_status', 'http_status')));
    IF first_name IS NULL THEN
        RETURN false;
    ELSIF last_name > ours THEN
        RAISE EXCEPTION 'trigger % of generated_domains fires after % and could undo its work', last_name, ours
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Rename it (ALTER TRIGGER ... RENAME TO): triggers fire in the order of their names.';
    END IF;
    SELECT string_agg(format('    NEW.%1$I := OLD.%1$I;', attname), E'\n' ORDER BY attnum) INTO assignments
    FROM pg_attribute
    WHERE attrelid = domains_oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
      AND attname NOT IN ('dns_status', 'http_status');
    -- Quoted as a string: a column's name may hold whatever a dollar quote begins and ends with.
    EXECUTE format('CREATE OR REPLACE FUNCTION migration_status_keep_row() RETURNS trigger LANGUAGE plpgsql AS %L',
                   format(E'BEGIN\n%s\n    RETURN NEW;\nEND', assignments));
    REVOKE ALL ON FUNCTION migration_status_keep_row() FROM PUBLIC;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = domains_oid AND tgname = ours) THEN
        CREATE TRIGGER zzz_migration_keep_domain BEFORE UPDATE ON generated_domains FOR EACH ROW
        WHEN (current_setting('migration.settling', true) = 'on')
        EXECUTE FUNCTION migration_status_keep_row();
    END IF;
    RETURN true;
END
$function$;
-- end block: domain_status_rows

-- block: restore_domain_status
-- Domain statuses that were taken from results get back what stood there, where they still are what was written. Some domains
-- by their ids, which the caller has locked, or all (NULL). Counts statuses: given back, and changed by others since. Those
-- of domains that are gone are in neither count.
CREATE OR REPLACE FUNCTION migration_status_restore(domain_ids uuid[], OUT restored bigint, OUT kept bigint)
LANGUAGE plpgsql AS $function$
DECLARE
    dns_type text;
    http_type text;
BEGIN
    SELECT max(format_type(a.atttypid, a.atttypmod)) FILTER (WHERE a.attname = 'dns_status'),
           max(format_type(a.atttypid, a.atttypmod)) FILTER (WHERE a.attname = 'http_status')
    INTO dns_type, http_type
    FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass(format('%I.generated_domains', current_schema())) AND NOT a.attisdropped;
    PERFORM set_config('migration.settling', 'on', true);
    EXECUTE format(
        $update$
        WITH wanted AS (
            SELECT c.*, c.dns_reason IS NOT NULL AND c.new_dns_status IS NOT DISTINCT FROM g.dns_status::text AS has_dns,
                c.http_reason IS NOT NULL AND c.new_http_status IS NOT DISTINCT FROM g.http_status::text AS has_http
            FROM migration_domain_status_changes AS c JOIN generated_domains AS g ON g.id = c.domain_id
            WHERE %3$s
        ), written AS (
            UPDATE generated_domains AS g
            SET dns_status = CASE WHEN w.has_dns THEN w.old_dns_status::%1$s ELSE g.dns_status END,
                http_status = CASE WHEN w.has_http THEN w.old_http_status::%2$s ELSE g.http_status END
            FROM wanted AS w WHERE g.id = w.domain_id AND (w.has_dns OR w.has_http)
        )
        SELECT coalesce(sum(has_dns::integer + has_http::integer), 0),
            coalesce(count(dns_reason) + count(http_reason) - sum(has_dns::integer + has_http::integer), 0)
        FROM wanted
        $update$, dns_type, http_type, CASE WHEN domain_ids IS NULL THEN 'true' ELSE 'c.domain_id = ANY ($1)' END)
    INTO restored, kept USING domain_ids;
    PERFORM set_config('migration.settling', 'off', true);
    DELETE FROM migration_domain_status_changes WHERE domain_ids IS NULL OR domain_id = ANY (domain_ids);
END
$function$;
-- end block: restore_domain_status

DO $block$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    saved record;
    present record;
    unit record;
    helper regprocedure;
    legacy_type text;
    legacy_status text;
    assignments text := '';
    touched bigint;
    recorded boolean;
    examples text;
BEGIN
    IF campaigns_oid IS NULL THEN
        RAISE EXCEPTION 'schema % has no table campaigns', current_schema() USING ERRCODE = 'undefined_table',
            HINT = 'Set search_path so that the schema of the campaign tables comes first.';
    END IF;
    recorded := to_regclass(format('%I.migration_saved_objects', current_schema())) IS NOT NULL;
    IF NOT recorded AND NOT migration_has_column('campaign_type') THEN
        RAISE EXCEPTION 'table migration_saved_objects is not there: what to bring back is not known'
            USING ERRCODE = 'undefined_table', HINT = 'Restore the backup that was taken before the migration.';
    END IF;
    IF to_regproc(format('%I.phases_index_definitions', current_schema())) IS NOT NULL THEN
        RAISE EXCEPTION '000036 is still in place' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Run 000036_optimize_phases_indexes.down.sql first.';
    END IF;
    IF NOT recorded THEN
        RAISE NOTICE '000035 down: the legacy model is in place, nothing to bring back';
    ELSE
        IF current_setting('lock_timeout') = '0' THEN
            PERFORM set_config('lock_timeout', '900ms', true);
        END IF;
        LOCK TABLE generated_domains IN SHARE ROW EXCLUSIVE MODE;
        PERFORM set_config('migration.locked_at', clock_timestamp()::text, false);
        LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE;

        IF NOT migration_has_column('campaign_type') THEN
            FOR saved IN
                SELECT create_statement FROM migration_saved_objects WHERE position = 100 ORDER BY id
            LOOP
                EXECUTE saved.create_statement;
            END LOOP;
            PERFORM migration_create_keep_row();

            -- A kept value holds as long as it still maps to the row's phase or status; otherwise the inverse mapping gives one.
            SELECT count(*), string_agg(key, ', ') FILTER (WHERE ordinal <= 20) INTO touched, examples
            FROM (
                SELECT c.id::text AS key, row_number() OVER (ORDER BY c.id) AS ordinal
                FROM campaigns AS c LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id
                WHERE v.campaign_id IS NULL
                   OR migration_map_phase_status(v.status) IS DISTINCT FROM c.phase_status::text
                   OR (coalesce(v.campaign_type NOT IN ('comprehensive', 'automated'), true)
                       AND migration_map_current_phase(v.campaign_type) IS DISTINCT FROM c.current_phase::text)
            ) AS changed;
            IF touched > 0 THEN
                RAISE NOTICE '000035 down: % campaign(s) were changed or created since and get the inverse mapping: %',
                    touched, examples;
            END IF;
            SELECT definition INTO legacy_type FROM migration_saved_objects WHERE kind = 'column' AND identity = 'campaign_type';
            SELECT definition INTO legacy_status FROM migration_saved_objects WHERE kind = 'column' AND identity = 'status';
            IF migration_has_column('launch_sequence') THEN
                assignments := format(', launch_sequence = CASE WHEN v.campaign_id IS NULL THEN %s ELSE v.launch_sequence END',
                    coalesce((SELECT definition FROM migration_saved_objects
                              WHERE kind = 'column default' AND identity = 'launch_sequence'), 'false'));
            END IF;
            -- A column that was replaced needs its figures before its NOT NULL comes back.
            SELECT assignments || coalesce(string_agg(format(', %I = c.%I', s.identity, replace(s.identity, '_before_000035', '')),
                                                      '' ORDER BY s.id), '')
            INTO assignments FROM migration_saved_objects AS s
            WHERE s.kind = 'column' AND s.identity LIKE '%\_before\_000035';
            PERFORM set_config('campaign_metrics.folding', 'on', true);
            EXECUTE format(
                $update$
                UPDATE campaigns AS c
                SET campaign_type = (CASE
                        WHEN v.campaign_id IS NOT NULL
                             AND (v.campaign_type IN ('comprehensive', 'automated')
                                  OR migration_map_current_phase(v.campaign_type) = c.current_phase::text)
                        THEN v.campaign_type
                        ELSE migration_map_campaign_type(c.current_phase::text)
                    END)::%s,
                    status = (CASE
                        WHEN v.campaign_id IS NOT NULL AND migration_map_phase_status(v.status) = c.phase_status::text
                        THEN v.status
                        ELSE migration_map_status(c.phase_status::text)
                    END)::%s%s
                FROM campaigns AS o LEFT JOIN migration_legacy_values AS v ON v.campaign_id = o.id
                WHERE o.id = c.id
                $update$, legacy_type, legacy_status, assignments);
            PERFORM set_config('campaign_metrics.folding', 'off', true);
            SET CONSTRAINTS ALL IMMEDIATE;
            FOR saved IN
                SELECT create_statement FROM migration_saved_objects WHERE position BETWEEN 200 AND 599 ORDER BY position, id
            LOOP
                EXECUTE saved.create_statement;
            END LOOP;
        ELSE
            SET CONSTRAINTS ALL IMMEDIATE;
        END IF;

        -- Domain statuses, while the metrics still follow.
        IF obj_description(to_regclass(format('%I.migration_domain_status_changes', current_schema())), 'pg_class')
            LIKE 'phases migration: %' THEN
            IF EXISTS (SELECT FROM migration_domain_status_changes) THEN
                PERFORM migration_status_keep_rows();
                SELECT * INTO saved FROM migration_status_restore(NULL);
                RAISE NOTICE '000035 down: % domain status(es) that results had given are as before, % were changed since and stay',
                    saved.restored, saved.kept;
            END IF;
            DROP TABLE migration_domain_status_changes;
        END IF;
        IF obj_description(to_regclass(format('%I.migration_domain_status_plan', current_schema())), 'pg_class')
            LIKE 'phases migration: %' THEN
            DROP TABLE migration_domain_status_plan;
        END IF;

        -- Dependents read the legacy columns themselves again, and the compatibility view has no reader left.
        FOR saved IN
            SELECT kind, identity, definition, drop_statement, coalesce(create_statement, drop_statement) AS statement
            FROM migration_saved_objects
            WHERE position BETWEEN 600 AND 799 ORDER BY position, id
        LOOP
            IF saved.kind NOT LIKE 'duplicate %' THEN
                EXECUTE saved.statement;
                CONTINUE;
            END IF;
            -- The pipeline has built them again ahead of this, with writers at work; or has not come to dropping them.
            IF saved.kind = 'duplicate index' THEN
                SELECT x.indisvalid AND x.indisready AND x.indislive AS is_valid INTO present FROM pg_index AS x
                WHERE x.indexrelid = to_regclass(format('%I.%I', current_schema(), saved.identity));
                CONTINUE WHEN present.is_valid;
                IF FOUND THEN
                    EXECUTE saved.drop_statement;
                END IF;
            ELSIF saved.kind = 'duplicate foreign key' THEN
                SELECT k.convalidated AS is_valid INTO present
                FROM pg_constraint AS k
                JOIN pg_class AS t ON t.oid = k.conrelid
                JOIN pg_namespace AS n ON n.oid = t.relnamespace
                WHERE k.contype = 'f' AND format('%I.%I.%I', n.nspname, t.relname, k.conname) = saved.identity;
                CONTINUE WHEN present.is_valid OR (FOUND AND saved.definition LIKE '% NOT VALID');
                IF FOUND THEN
                    EXECUTE saved.drop_statement;
                END IF;
            END IF;
            -- What it stood on may have been dropped since: then nothing misses it.
            BEGIN
                EXECUTE saved.statement;
            EXCEPTION WHEN undefined_table OR undefined_column OR undefined_object THEN
                RAISE WARNING '000035 down: % % does not come back: %', saved.kind, saved.identity, SQLERRM;
            END;
        END LOOP;

        -- The metrics and the sync go, with what they used.
        DROP VIEW IF EXISTS campaign_performance_metrics;
        FOR unit IN
            SELECT tgname, tgrelid::regclass AS relation FROM pg_trigger
            WHERE (tgrelid IN (campaigns_oid, to_regclass(format('%I.generated_domains', current_schema())))
                   -- On partitions, those that were detached since included.
                   OR tgfoid IN (SELECT oid FROM pg_proc WHERE pronamespace = quote_ident(current_schema())::regnamespace
                                   AND proname LIKE 'campaign\_metrics\_on\_%'))
              AND tgparentid = 0
              AND tgname IN ('zzy_migration_sync_models', 'migration_keep_legacy_values', 'migration_keep_legacy_values_update',
                             'zzz_campaign_metrics_insert', 'zzz_campaign_metrics_update',
                             'zzz_campaign_metrics_delete', 'zzz_campaign_metrics_truncate', 'zzz_migration_keep_domain')
        LOOP
            EXECUTE format('DROP TRIGGER %I ON %s', unit.tgname, unit.relation);
        END LOOP;
        DROP TABLE IF EXISTS campaign_metric_changes;
        DROP TABLE IF EXISTS campaign_metrics_baseline;

        -- The phases columns: gone if they were added, as they were if not.
        FOR saved IN
            SELECT coalesce(drop_statement, create_statement) AS statement, identity FROM migration_saved_objects
            WHERE position >= 890 AND kind NOT LIKE 'renamed %' ORDER BY position, id
        LOOP
            EXECUTE saved.statement;
        END LOOP;

        -- Those that were there get the values that they had, in rows whose phase and status nobody changed since.
        SELECT string_agg(
            CASE s.identity
                WHEN 'current_phase' THEN 'current_phase = CASE WHEN b.current_phase IS NULL AND NOT t.touched'
                                          ' THEN NULL ELSE c.current_phase END'
                WHEN 'phase_status' THEN 'phase_status = CASE WHEN b.phase_status IS NULL AND NOT t.touched'
                                         ' THEN NULL ELSE c.phase_status END'
                ELSE format('%1$I = CASE WHEN t.touched THEN c.%1$I ELSE b.%1$I END', s.identity)
            END, ', ' ORDER BY s.id)
        INTO assignments FROM migration_saved_objects AS s WHERE s.kind = 'phases column';
        IF assignments IS NOT NULL THEN
            PERFORM migration_create_keep_row();
            PERFORM set_config('campaign_metrics.folding', 'on', true);
            EXECUTE format(
                $update$
                UPDATE campaigns AS c SET %s
                FROM campaigns_backup_000035 AS b
                CROSS JOIN LATERAL (
                    SELECT (n.campaign_type::text, n.status::text) IS DISTINCT FROM (b.campaign_type::text, b.status::text)
                        AS touched
                    FROM campaigns AS n WHERE n.id = b.id
                ) AS t
                WHERE c.id = b.id
                $update$, assignments);
            PERFORM set_config('campaign_metrics.folding', 'off', true);
            SET CONSTRAINTS ALL IMMEDIATE;
        END IF;
        DROP TRIGGER IF EXISTS zzz_campaigns_keep_row ON campaigns;

        -- Nothing bears our names any more: what was renamed out of their way gets its own back, unless it was dropped since.
        FOR saved IN
            SELECT create_statement FROM migration_saved_objects AS s
            WHERE (s.kind = 'renamed index' AND to_regclass(format('%I.%I', current_schema(), s.identity)) IS NOT NULL)
               OR (s.kind = 'renamed constraint'
                   AND EXISTS (SELECT FROM pg_constraint WHERE conrelid = campaigns_oid AND conname = s.identity))
               OR (s.kind = 'renamed trigger'
                   AND EXISTS (SELECT FROM pg_trigger AS t
                               WHERE t.tgrelid IN (campaigns_oid, to_regclass(format('%I.generated_domains', current_schema())))
                                 AND t.tgname = s.identity))
            ORDER BY s.id
        LOOP
            EXECUTE saved.create_statement;
        END LOOP;
    END IF;

    -- Nothing of ours is left but backups and reports.
    FOR helper IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
          AND (proname LIKE 'migration\_benchmark\_%' OR proname LIKE 'migration\_status\_%' OR proname IN ('migration_backup_campaigns', 'migration_find_inverse_mappings', 'migration_allows',
                          'migration_judge_phases_columns', 'migration_expand_columns', 'migration_sync_models', 'migration_create_keep_row',
                          'migration_write_keep_row', 'migration_lock_campaigns', 'migration_prepare_sync', 'migration_hand_over',
                          'migration_install_sync', 'migration_install_metrics', 'migration_mark_uncounted',
                          'migration_refuse_contradictions',
                          'migration_refuse_unknown_values', 'migration_add_checks', 'migration_validate_checks',
                          'migration_record_legacy', 'migration_transform', 'migration_count_metrics',
                          'migration_fill_batch', 'migration_forget_deleted', 'migration_has_column',
                          'migration_keep_legacy_values', 'campaigns_keep_row', 'campaign_metrics_on_insert',
                          'campaign_metrics_on_update', 'campaign_metrics_on_delete', 'campaign_metrics_on_truncate',
                          'campaign_metrics_on_partition_truncate', 'campaign_metrics_cover_partitions',
                          'campaign_metrics_fold', 'migration_map_current_phase', 'migration_map_phase_status',
                          'migration_map_campaign_type', 'migration_map_status', 'migration_map_progress'))
    LOOP
        EXECUTE format('DROP FUNCTION %s', helper);
    END LOOP;
    DROP TABLE IF EXISTS migration_custom_mappings;
    DROP TABLE IF EXISTS migration_legacy_values;
    DROP TABLE IF EXISTS migration_saved_objects;
END
$block$;
