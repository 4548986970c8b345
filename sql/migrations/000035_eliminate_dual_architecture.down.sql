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

-- block: legacy_back
-- The pieces of the way back, each a function that can be called again without harm. Alone this file calls them in one go, under
-- its lock; the pipeline calls them one by one with writers at work, and this file then finds it done.

-- What keeps both models in step once the legacy columns are back: a value that was kept holds as long as it maps to the row's
-- phase and status, else the inverse mapping gives one. A row is filled when it is written, whoever writes it.
CREATE OR REPLACE FUNCTION migration_prepare_return()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    has_launch boolean;
    former text;
BEGIN
    SELECT bool_or(identity = 'launch_sequence'),
           string_agg(format('NEW.%I := NEW.%I;', identity, replace(identity, '_before_000035', '')), ' ' ORDER BY id)
               FILTER (WHERE identity LIKE '%\_before\_000035')
    INTO has_launch, former
    FROM migration_saved_objects WHERE position = 100;
    -- Columns that the application has added since are kept as well.
    PERFORM migration_create_keep_row();
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION migration_return_values() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
        ' SET search_path = %I, pg_temp AS %L',
        current_schema(), replace(replace(
        $body$
        DECLARE
            kept migration_legacy_values;
            has_kept boolean := false;
            type_given boolean := NEW.campaign_type IS NOT NULL;
            phase_given boolean := NEW.current_phase IS NOT NULL;
            status_given boolean := NEW.status IS NOT NULL;
            phase_status_given boolean := NEW.phase_status IS NOT NULL;
            is_new boolean := TG_OP = 'INSERT';
            holds boolean;
        BEGIN
            IF NOT is_new THEN
                type_given := NEW.campaign_type::text IS DISTINCT FROM OLD.campaign_type::text;
                phase_given := NEW.current_phase IS DISTINCT FROM OLD.current_phase;
                status_given := NEW.status::text IS DISTINCT FROM OLD.status::text;
                phase_status_given := NEW.phase_status IS DISTINCT FROM OLD.phase_status;
                IF NEW.current_phase IS NULL OR NEW.phase_status IS NULL THEN
                    RAISE EXCEPTION 'current_phase and phase_status of campaign % cannot be set to NULL', NEW.id
                        USING ERRCODE = 'check_violation';
                END IF;
                -- Where a legacy value is NULL, what was kept says whether it was, or has only not been filled yet.
                SELECT * INTO kept FROM migration_legacy_values AS v WHERE v.campaign_id = NEW.id;
                has_kept := FOUND;
                IF has_kept AND (type_given AND NEW.campaign_type IS NULL OR status_given AND NEW.status IS NULL) THEN
                    UPDATE migration_legacy_values AS v
                    SET campaign_type = CASE WHEN type_given AND NEW.campaign_type IS NULL THEN NULL ELSE v.campaign_type END,
                        status = CASE WHEN status_given AND NEW.status IS NULL THEN NULL ELSE v.status END
                    WHERE v.campaign_id = NEW.id;
                END IF;
            ELSIF NEW.current_phase IS NULL AND NEW.campaign_type IS NULL THEN
                NEW.current_phase := 'setup';
            END IF;
            IF is_new AND NEW.phase_status IS NULL AND NEW.status IS NULL THEN
                NEW.phase_status := 'not_started';
            END IF;

            IF type_given AND NOT phase_given THEN
                NEW.current_phase := migration_map_current_phase(NEW.campaign_type::text);
                IF NEW.current_phase IS NULL THEN
                    RAISE EXCEPTION 'campaign_type % of campaign % maps to no phase', quote_nullable(NEW.campaign_type), NEW.id
                        USING ERRCODE = 'check_violation';
                END IF;
            ELSE
                IF NOT type_given AND NEW.campaign_type IS NULL AND has_kept THEN
                    NEW.campaign_type := kept.campaign_type;
                    holds := true;
                ELSE
                    holds := NEW.campaign_type IS NOT NULL;
                END IF;
                -- A value that still maps to the row's phase stays; comprehensive and automated belong to every phase.
                IF NOT holds OR NOT coalesce(NEW.campaign_type::text IN ('comprehensive', 'automated'), false)
                        AND migration_map_current_phase(NEW.campaign_type::text) IS DISTINCT FROM NEW.current_phase::text THEN
                    IF type_given AND NOT is_new
                       AND migration_map_campaign_type(NEW.current_phase::text) IS DISTINCT FROM NEW.campaign_type::text THEN
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

            IF status_given AND NOT phase_status_given THEN
                NEW.phase_status := migration_map_phase_status(NEW.status::text);
                IF NEW.phase_status IS NULL THEN
                    RAISE EXCEPTION 'status % of campaign % maps to no phase status', quote_nullable(NEW.status), NEW.id
                        USING ERRCODE = 'check_violation';
                END IF;
            ELSE
                IF NOT status_given AND NEW.status IS NULL AND has_kept THEN
                    NEW.status := kept.status;
                    holds := true;
                ELSE
                    holds := NEW.status IS NOT NULL;
                END IF;
                IF NOT holds OR migration_map_phase_status(NEW.status::text) IS DISTINCT FROM NEW.phase_status::text THEN
                    IF status_given AND NOT is_new
                       AND migration_map_status(NEW.phase_status::text) IS DISTINCT FROM NEW.status::text THEN
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

            -- Progress is the application's, unless a legacy writer moved the row.
            IF is_new THEN
                IF coalesce(NEW.progress, 0) = 0 AND (type_given OR status_given) THEN
                    NEW.progress := migration_map_progress(
                        NEW.current_phase::text, NEW.phase_status::text, NEW.progress_percentage,
                        NEW.domains, NEW.dns_validated_domains, NEW.http_validated_domains, NEW.leads);
                END IF;
            ELSIF (type_given AND NOT phase_given OR status_given AND NOT phase_status_given)
                  AND NEW.progress IS NOT DISTINCT FROM OLD.progress THEN
                NEW.progress := migration_map_progress(
                    NEW.current_phase::text, NEW.phase_status::text, NEW.progress_percentage,
                    NEW.domains, NEW.dns_validated_domains, NEW.http_validated_domains, NEW.leads);
            END IF;
            /* launch_sequence */
            /* former columns */
            RETURN NEW;
        END
        $body$, '/* launch_sequence */', CASE WHEN has_launch THEN format(
            'IF NEW.launch_sequence IS NULL THEN'
            ' NEW.launch_sequence := CASE WHEN has_kept THEN kept.launch_sequence ELSE %s END; END IF;',
            coalesce((SELECT definition FROM migration_saved_objects
                      WHERE kind = 'column default' AND identity = 'launch_sequence'), 'false')) ELSE '' END),
        '/* former columns */', coalesce(former, '')));
    REVOKE ALL ON FUNCTION migration_return_values() FROM PUBLIC;
END
$function$;

-- The legacy columns, empty, and that trigger. They come in one transaction: from then on writers of both models work side by
-- side until the phases go. Neither side has a default meanwhile, so that the trigger sees which of the two a new row was given.
CREATE OR REPLACE FUNCTION migration_return_columns()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    additions text;
BEGIN
    SELECT string_agg(regexp_replace(create_statement, '^ALTER TABLE campaigns ', ''), ', ' ORDER BY id) INTO additions
    FROM migration_saved_objects WHERE position = 100;
    EXECUTE 'ALTER TABLE campaigns ' || additions
        || ', ALTER COLUMN current_phase DROP DEFAULT, ALTER COLUMN phase_status DROP DEFAULT';
    CREATE TRIGGER zzy_migration_sync_models BEFORE INSERT OR UPDATE ON campaigns
        FOR EACH ROW EXECUTE FUNCTION migration_return_values();
END
$function$;

-- The condition that a row of campaigns (c), with its kept values (v), has not been filled yet.
CREATE OR REPLACE FUNCTION migration_unreturned()
RETURNS text LANGUAGE sql STABLE AS $function$
    SELECT $condition$(
        c.campaign_type IS NULL AND NOT (v.campaign_id IS NOT NULL AND v.campaign_type IS NULL
            AND migration_map_current_phase(NULL) IS NOT DISTINCT FROM c.current_phase::text)
        OR c.status IS NULL AND NOT (v.campaign_id IS NOT NULL AND v.status IS NULL
            AND migration_map_phase_status(NULL) IS NOT DISTINCT FROM c.phase_status::text)
        $condition$ || CASE WHEN migration_has_column('launch_sequence') THEN $condition$
        OR c.launch_sequence IS NULL AND NOT (v.campaign_id IS NOT NULL AND v.launch_sequence IS NULL)
        $condition$ ELSE '' END || ')'
$function$;

-- One batch: up to batch_size unfilled rows after a key are written, and with that the trigger fills them. Rows that somebody
-- holds are passed over and taken in a later round. A row of which nobody has changed anything since keeps every other value.
CREATE OR REPLACE FUNCTION migration_return_batch(after_id uuid, batch_size integer, OUT last_id uuid, OUT filled bigint)
LANGUAGE plpgsql AS $function$
DECLARE
    batch uuid[];
    written bigint;
BEGIN
    EXECUTE format(
        'SELECT array_agg(locked.id ORDER BY locked.id) FROM ('
        ' SELECT c.id FROM campaigns AS c LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id'
        ' WHERE ($1 IS NULL OR c.id > $1) AND %s ORDER BY c.id LIMIT $2 FOR NO KEY UPDATE OF c SKIP LOCKED) AS locked',
        migration_unreturned()) INTO batch USING after_id, batch_size;
    filled := coalesce(cardinality(batch), 0);
    last_id := batch[filled];
    PERFORM set_config('campaign_metrics.folding', 'on', true);
    UPDATE campaigns SET current_phase = current_phase WHERE id = ANY (batch);
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < filled THEN
        RAISE EXCEPTION '% of % campaigns could not be filled, as a trigger keeps them from being updated without a word (up to %)',
            filled - written, filled, last_id
            USING ERRCODE = 'triggered_data_change_violation',
                  HINT = 'One of the BEFORE UPDATE triggers of campaigns returns NULL: disable it until the way back is done.';
    END IF;
    PERFORM set_config('campaign_metrics.folding', 'off', true);
END
$function$;

-- Up to 20 rows that are not filled yet.
CREATE OR REPLACE FUNCTION migration_list_unreturned()
RETURNS SETOF text LANGUAGE plpgsql STABLE AS $function$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT c.id::text FROM campaigns AS c LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id WHERE %s LIMIT 20',
        migration_unreturned());
END
$function$;

-- The rules of the legacy columns: what is there is left. NOT VALID takes a moment's lock; validation reads the table without
-- keeping writers out. The last of them makes SET NOT NULL a matter of the catalog alone, and goes with it.
CREATE OR REPLACE FUNCTION migration_return_checks()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    additions text;
BEGIN
    SELECT string_agg(w.addition, ', ' ORDER BY w.place) INTO additions
    FROM (
        SELECT s.id AS place, s.identity AS name, format('ADD CONSTRAINT %I %s', s.identity, s.definition)
            || CASE WHEN s.definition ~ ' NOT (VALID|ENFORCED)$' THEN '' ELSE ' NOT VALID' END AS addition
        FROM migration_saved_objects AS s WHERE s.kind = 'check constraint'
        UNION ALL
        SELECT max(s.id), 'migration_legacy_filled', format('ADD CONSTRAINT migration_legacy_filled CHECK (%s) NOT VALID',
            string_agg(format('%I IS NOT NULL', s.identity), ' AND ' ORDER BY s.id))
        FROM migration_saved_objects AS s
        WHERE s.kind = 'column not null' AND s.create_statement NOT LIKE '% NOT VALID' HAVING count(*) > 0
    ) AS w
    WHERE NOT EXISTS (SELECT FROM pg_constraint
                      WHERE conrelid = to_regclass(format('%I.campaigns', current_schema())) AND conname = w.name);
    IF additions IS NOT NULL THEN
        EXECUTE 'ALTER TABLE campaigns ' || additions;
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION migration_validate_returned()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    pending text;
BEGIN
    FOR pending IN
        SELECT k.conname FROM pg_constraint AS k
        LEFT JOIN migration_saved_objects AS s ON s.kind = 'check constraint' AND s.identity = k.conname
        WHERE k.conrelid = to_regclass(format('%I.campaigns', current_schema())) AND NOT k.convalidated
          AND (k.conname = 'migration_legacy_filled' OR s.definition !~ ' NOT (VALID|ENFORCED)$')
    LOOP
        EXECUTE format('ALTER TABLE campaigns VALIDATE CONSTRAINT %I', pending);
    END LOOP;
END
$function$;

-- All else that is recorded of the legacy columns, and takes no time by now: NOT NULL, settings, statistics, comments, grants.
-- Defaults come last of all, with the end of the phases. What has been replayed is no longer on record.
CREATE OR REPLACE FUNCTION migration_return_settings()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    saved record;
    alterations text;
BEGIN
    SELECT string_agg(regexp_replace(create_statement, '^ALTER TABLE campaigns ', ''), ', ' ORDER BY position, id) INTO alterations
    FROM migration_saved_objects WHERE position BETWEEN 210 AND 222;
    IF alterations IS NOT NULL THEN
        EXECUTE 'ALTER TABLE campaigns ' || alterations;
    END IF;
    ALTER TABLE campaigns DROP CONSTRAINT IF EXISTS migration_legacy_filled;
    FOR saved IN
        SELECT create_statement FROM migration_saved_objects
        WHERE position BETWEEN 310 AND 599 AND kind NOT IN ('publication', 'index replica identity') ORDER BY position, id
    LOOP
        EXECUTE saved.create_statement;
    END LOOP;
    DELETE FROM migration_saved_objects
    WHERE position BETWEEN 210 AND 222 OR position BETWEEN 310 AND 599 AND kind NOT IN ('publication', 'index replica identity');
END
$function$;

-- Whether all of that has been done, so that the rest takes a moment.
CREATE OR REPLACE FUNCTION migration_is_returned()
RETURNS boolean LANGUAGE plpgsql STABLE AS $function$
BEGIN
    IF NOT migration_has_column('campaign_type') THEN
        RETURN false;
    END IF;
    RETURN NOT EXISTS (SELECT FROM migration_list_unreturned())
        AND NOT EXISTS (
            SELECT FROM migration_saved_objects AS s
            WHERE s.position BETWEEN 210 AND 222 OR s.position BETWEEN 310 AND 599 AND s.kind NOT IN ('publication', 'index replica identity')
               OR s.kind = 'check constraint' AND NOT EXISTS (
                    SELECT FROM pg_constraint AS k
                    WHERE k.conrelid = to_regclass(format('%I.campaigns', current_schema())) AND k.conname = s.identity
                      AND (k.convalidated OR s.definition ~ ' NOT (VALID|ENFORCED)$'))
               OR s.kind = 'index' AND NOT EXISTS (
                    SELECT FROM pg_index AS x
                    WHERE x.indexrelid = to_regclass(format('%I.%I', current_schema(), s.identity))
                      AND x.indisvalid AND x.indisready AND x.indislive));
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
          AND proname IN ('migration_has_column', 'migration_create_keep_row', 'migration_prepare_return', 'migration_return_columns',
                          'migration_unreturned', 'migration_return_batch', 'migration_list_unreturned',
                          'migration_return_checks', 'migration_validate_returned', 'migration_return_settings',
                          'migration_is_returned')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', helper, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', helper);
    END LOOP;
END
$block$;
-- end block: legacy_back

-- Phases columns that were there before get the values that they had, in rows whose phase and status nobody has changed since. These
-- rows are listed at the very moment when the phases end; a trigger gives each its values when it is next written, those aside which
-- that statement itself sets. The rest is written batch by batch.
CREATE OR REPLACE FUNCTION migration_list_phases()
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    assignments text;
BEGIN
    CREATE TABLE migration_phases_to_restore (campaign_id uuid PRIMARY KEY);
    COMMENT ON TABLE migration_phases_to_restore IS 'phases migration: campaigns whose former phases are not back yet';
    INSERT INTO migration_phases_to_restore
    SELECT c.id FROM campaigns AS c JOIN campaigns_backup_000035 AS b ON b.id = c.id
    WHERE (c.campaign_type::text, c.status::text) IS NOT DISTINCT FROM (b.campaign_type::text, b.status::text);
    SELECT string_agg(format('IF NEW.%1$I IS NOT DISTINCT FROM OLD.%1$I%2$s THEN NEW.%1$I := b.%1$I; END IF;', identity,
                             CASE WHEN identity IN ('current_phase', 'phase_status')
                                  THEN format(' AND b.%I IS NULL', identity) ELSE '' END), ' ' ORDER BY id)
    INTO assignments FROM migration_saved_objects WHERE kind = 'phases column';
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION migration_give_phases_back() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
        ' SET search_path = %I, pg_temp AS %L', current_schema(), format(
            $body$
            DECLARE
                b campaigns_backup_000035;
            BEGIN
                DELETE FROM migration_phases_to_restore WHERE campaign_id = NEW.id;
                IF FOUND THEN
                    SELECT * INTO STRICT b FROM campaigns_backup_000035 AS k WHERE k.id = NEW.id;
                    %s
                END IF;
                RETURN NEW;
            END
            $body$, assignments));
    REVOKE ALL ON FUNCTION migration_give_phases_back() FROM PUBLIC;
    CREATE TRIGGER zzy_migration_give_phases_back BEFORE UPDATE ON campaigns
        FOR EACH ROW EXECUTE FUNCTION migration_give_phases_back();
    PERFORM migration_create_keep_row();
END
$function$;

-- One batch, or with NULL all of them. Rows that somebody holds are passed over and taken in a later call.
CREATE OR REPLACE FUNCTION migration_restore_phases(batch_size integer)
RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    batch uuid[];
    written bigint;
BEGIN
    DELETE FROM migration_phases_to_restore AS r WHERE NOT EXISTS (SELECT FROM campaigns AS c WHERE c.id = r.campaign_id);
    SELECT array_agg(locked.id) INTO batch
    FROM (
        SELECT c.id FROM campaigns AS c JOIN migration_phases_to_restore AS r ON r.campaign_id = c.id
        ORDER BY c.id LIMIT batch_size FOR NO KEY UPDATE OF c SKIP LOCKED
    ) AS locked;
    PERFORM set_config('campaign_metrics.folding', 'on', true);
    EXECUTE format('UPDATE campaigns SET %1$I = %1$I WHERE id = ANY ($1)',
                   (SELECT min(identity) FROM migration_saved_objects WHERE kind = 'phases column')) USING batch;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < cardinality(batch) THEN
        RAISE EXCEPTION '% of % campaigns could not get their former phases, as a trigger keeps them from being updated without a word',
            cardinality(batch) - written, cardinality(batch)
            USING ERRCODE = 'triggered_data_change_violation',
                  HINT = 'One of the BEFORE UPDATE triggers of campaigns returns NULL: disable it until the way back is done.';
    END IF;
    PERFORM set_config('campaign_metrics.folding', 'off', true);
    RETURN coalesce(cardinality(batch), 0);
END
$function$;

CREATE OR REPLACE FUNCTION migration_end_phases()
RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    DROP TRIGGER IF EXISTS zzy_migration_give_phases_back ON campaigns;
    DROP TRIGGER IF EXISTS zzz_campaigns_keep_row ON campaigns;
    DROP TABLE migration_phases_to_restore;
END
$function$;
REVOKE ALL ON FUNCTION migration_list_phases(), migration_restore_phases(integer), migration_end_phases() FROM PUBLIC;

DO $block$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    saved record;
    present record;
    unit record;
    alterations text;
    touched bigint;
    filled bigint := 0;
    recorded boolean;
    comes_back boolean;
    prepared boolean;
    later boolean := coalesce(current_setting('migration.restore_later', true), '') = 'on';
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
    ELSIF obj_description(to_regclass(format('%I.migration_saved_objects', current_schema())), 'pg_class') LIKE '%: taken back' THEN
        RAISE NOTICE '000035 down: the legacy model is in place, what is left of ours goes';
        IF NOT later AND to_regclass(format('%I.migration_phases_to_restore', current_schema())) IS NOT NULL THEN
            PERFORM migration_restore_phases(NULL);
            PERFORM migration_end_phases();
        END IF;
    ELSE
        IF current_setting('lock_timeout') = '0' THEN
            -- An autovacuum gives way to a lock that has waited for deadlock_timeout, and whoever writes does not wait behind this.
            PERFORM set_config('lock_timeout', (SELECT s.setting::integer + 1000 FROM pg_settings AS s
                                                WHERE s.name = 'deadlock_timeout')::text || 'ms', true);
            LOCK TABLE generated_domains, campaigns IN SHARE UPDATE EXCLUSIVE MODE;
            PERFORM set_config('lock_timeout', '900ms', true);
        END IF;
        DROP VIEW IF EXISTS campaign_performance_metrics;
        -- From phases only, or from where the pipeline has got to. It fills every row, and the trigger sees to later ones.
        comes_back := NOT migration_has_column('campaign_type')
            OR EXISTS (SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                       WHERE t.tgrelid = campaigns_oid AND t.tgname = 'zzy_migration_sync_models'
                         AND p.proname = 'migration_return_values');
        prepared := comes_back AND migration_is_returned();
        LOCK TABLE generated_domains IN SHARE ROW EXCLUSIVE MODE;
        PERFORM set_config('migration.locked_at', clock_timestamp()::text, false);
        LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE;

        IF comes_back AND NOT prepared THEN
            IF NOT migration_has_column('campaign_type') THEN
                PERFORM migration_prepare_return();
                PERFORM migration_return_columns();
            END IF;
            LOOP
                SELECT b.filled INTO touched FROM migration_return_batch(NULL, 10000) AS b;
                EXIT WHEN touched = 0;
                filled := filled + touched;
            END LOOP;
            SET CONSTRAINTS ALL IMMEDIATE;
            IF filled > 0 THEN
                SELECT count(*), string_agg(key, ', ') FILTER (WHERE ordinal <= 20) INTO touched, examples
                FROM (
                    SELECT c.id::text AS key, row_number() OVER (ORDER BY c.id) AS ordinal
                    FROM campaigns AS c LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id
                    WHERE v.campaign_id IS NULL OR (v.campaign_type, v.status) IS DISTINCT FROM (c.campaign_type::text, c.status::text)
                ) AS changed;
                IF touched > 0 THEN
                    RAISE NOTICE '000035 down: % campaign(s) were changed or created since and get the inverse mapping: %',
                        touched, examples;
                END IF;
            END IF;
            PERFORM migration_return_checks();
            PERFORM migration_validate_returned();
            FOR saved IN
                SELECT identity, drop_statement, create_statement FROM migration_saved_objects
                WHERE kind = 'index' ORDER BY position, id
            LOOP
                SELECT x.indisvalid AND x.indisready AND x.indislive AS is_valid INTO present FROM pg_index AS x
                WHERE x.indexrelid = to_regclass(format('%I.%I', current_schema(), saved.identity));
                CONTINUE WHEN present.is_valid;
                IF FOUND THEN
                    EXECUTE saved.drop_statement;
                END IF;
                EXECUTE saved.create_statement;
            END LOOP;
            PERFORM migration_return_settings();
        ELSE
            SET CONSTRAINTS ALL IMMEDIATE;
        END IF;
        -- A published table's identity must be among the columns that are published.
        FOR saved IN
            SELECT create_statement FROM migration_saved_objects
            WHERE kind IN ('publication', 'index replica identity') ORDER BY position DESC, id
        LOOP
            EXECUTE saved.create_statement;
        END LOOP;

        -- Domain statuses, while the metrics still follow.
        IF obj_description(to_regclass(format('%I.migration_domain_status_changes', current_schema())), 'pg_class')
            LIKE 'phases migration: %' THEN
            IF EXISTS (SELECT FROM migration_domain_status_changes) THEN
                PERFORM migration_status_keep_rows();
                SELECT * INTO saved FROM migration_status_restore(NULL);
                RAISE NOTICE '000035 down: % domain status(es) that results had given are as before, % were changed since and stay',
                    saved.restored, saved.kept;
            END IF;
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

        -- The phases columns: gone if they were added, as they were if not. What can be is one statement: each has its price.
        SELECT string_agg(s.alteration, ', ' ORDER BY s.position, s.id) INTO alterations
        FROM (
            SELECT position, id, regexp_replace(coalesce(drop_statement, create_statement), '^ALTER TABLE campaigns ', '') AS alteration
            FROM migration_saved_objects
            WHERE kind IN ('column default', 'added column', 'added constraint')
        ) AS s;
        IF alterations IS NOT NULL THEN
            EXECUTE 'ALTER TABLE campaigns ' || alterations;
        END IF;
        FOR saved IN
            SELECT coalesce(drop_statement, create_statement) AS statement, identity FROM migration_saved_objects
            WHERE position >= 890 AND kind NOT LIKE 'renamed %' AND kind NOT IN ('added column', 'added constraint')
            ORDER BY position, id
        LOOP
            EXECUTE saved.statement;
        END LOOP;

        -- Those that were there get the values that they had. The pipeline does that later, without the lock.
        IF EXISTS (SELECT FROM migration_saved_objects WHERE kind = 'phases column')
           AND to_regclass(format('%I.campaigns_backup_000035', current_schema())) IS NOT NULL THEN
            PERFORM migration_list_phases();
            IF NOT later THEN
                PERFORM migration_restore_phases(NULL);
                PERFORM migration_end_phases();
            END IF;
        ELSE
            IF EXISTS (SELECT FROM migration_saved_objects WHERE kind = 'phases column') THEN
                RAISE WARNING '000035 down: phases columns that were there before keep the values of now: table % is gone',
                    'campaigns_backup_000035';
            END IF;
            DROP TRIGGER IF EXISTS zzz_campaigns_keep_row ON campaigns;
        END IF;

        -- Nothing bears our names any more: what was renamed out of their way gets its own back, unless it was dropped since.
        -- From here on these names are somebody else's: what is run again after a kill must not take them for ours.
        DELETE FROM migration_saved_objects WHERE kind IN ('added index', 'added index part');
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
        COMMENT ON TABLE migration_saved_objects IS 'phases migration: taken back';
        RAISE NOTICE '000035 down: the legacy model is back';
    END IF;
END
$block$;

-- block: tidy
-- Nothing of ours is left but backups and reports. The pipeline does this in a transaction of its own: nobody waits for it.
DO $block$
DECLARE
    unit record;
BEGIN
    IF to_regclass(format('%I.migration_saved_objects', current_schema())) IS NOT NULL
       AND obj_description(to_regclass(format('%I.migration_saved_objects', current_schema())), 'pg_class') NOT LIKE '%: taken back' THEN
        RAISE EXCEPTION 'the legacy model is not in place' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'What stands above in this file failed: mend what it named.';
    END IF;
    FOR unit IN
        SELECT format('DROP TABLE %s', c.oid::regclass) AS statement FROM pg_class AS c
        WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind = 'r'
          AND c.relname IN ('campaign_metric_changes', 'campaign_metrics_baseline', 'migration_domain_status_changes', 'migration_phases_to_restore',
                            'migration_domain_status_plan', 'migration_custom_mappings', 'migration_legacy_values')
          AND obj_description(c.oid, 'pg_class') LIKE 'phases migration: %'
        UNION ALL
        SELECT format('DROP FUNCTION %s', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
          AND (proname LIKE 'migration\_benchmark\_%' OR proname LIKE 'migration\_status\_%'
               OR proname IN (
                          'migration_prepare_return', 'migration_return_columns', 'migration_return_values', 'migration_unreturned',
                          'migration_return_batch', 'migration_list_unreturned', 'migration_return_checks',
                          'migration_validate_returned', 'migration_return_settings', 'migration_is_returned', 'migration_list_phases',
                          'migration_give_phases_back', 'migration_restore_phases', 'migration_end_phases',
                          'migration_backup_campaigns', 'migration_find_inverse_mappings', 'migration_allows',
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
        EXECUTE unit.statement;
    END LOOP;
    DROP TABLE IF EXISTS migration_saved_objects;
END
$block$;
-- end block: tidy
