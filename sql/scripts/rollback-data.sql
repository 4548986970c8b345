-- Emergency data restoration: gives campaigns back the values of campaigns_pre_migration_backup, before or after the down
-- migrations. LATER CHANGES TO CAMPAIGNS ARE DROPPED, after all campaigns as they are now were saved to
-- campaigns_pre_rollback_backup. generated_domains is never touched. Campaigns created since stay, unless
-- SET migration.drop_new_campaigns = 'on' was said before; deleted ones come back, without their domains. After
-- SET migration.dry_run = 'on' it only counts. The counts also stand in the setting migration.rollback_counts afterwards.
-- Whole or nothing; running it again finds nothing to restore.

DO $block$
DECLARE
    campaigns_oid oid := to_regclass(format('%I.campaigns', current_schema()));
    backup_oid oid := to_regclass(format('%I.campaigns_pre_migration_backup', current_schema()));
    saved_as text := 'campaigns_pre_rollback_backup';
    drop_new boolean := coalesce(nullif(current_setting('migration.drop_new_campaigns', true), ''), 'off')::boolean;
    dry_run boolean := coalesce(nullif(current_setting('migration.dry_run', true), ''), 'off')::boolean;
    legacy boolean;
    phases boolean;
    kept boolean := to_regclass(format('%I.migration_legacy_values', current_schema())) IS NOT NULL;
    shared_columns text;
    assignments text;
    differs text;
    changed uuid[];
    deleted uuid[];
    created uuid[];
BEGIN
    IF campaigns_oid IS NULL OR backup_oid IS NULL THEN
        RAISE EXCEPTION 'schema % has no table %', current_schema(),
            CASE WHEN campaigns_oid IS NULL THEN 'campaigns' ELSE 'campaigns_pre_migration_backup' END
            USING ERRCODE = 'undefined_table', HINT = 'There is nothing to restore from; use the pg_dump of the backup step.';
    END IF;
    IF current_setting('lock_timeout') = '0' THEN
        IF NOT dry_run THEN
            -- An autovacuum gives way to a lock that has waited for deadlock_timeout; whoever writes does not wait behind this.
            PERFORM set_config('lock_timeout', (SELECT s.setting::integer + 1000 FROM pg_settings AS s
                                                WHERE s.name = 'deadlock_timeout')::text || 'ms', true);
            LOCK TABLE campaigns IN SHARE UPDATE EXCLUSIVE MODE;
        END IF;
        PERFORM set_config('lock_timeout', '900ms', true);
    END IF;
    IF NOT dry_run THEN
        LOCK TABLE campaigns IN SHARE ROW EXCLUSIVE MODE;
    END IF;
    legacy := EXISTS (SELECT FROM pg_attribute
                      WHERE attrelid = campaigns_oid AND attname = 'campaign_type' AND NOT attisdropped);
    phases := EXISTS (SELECT FROM pg_attribute
                      WHERE attrelid = campaigns_oid AND attname = 'current_phase' AND NOT attisdropped)
              AND to_regproc(format('%I.migration_map_current_phase', current_schema())) IS NOT NULL;

    -- The columns that both have and that are not ours; ours follow from the legacy values, and metrics are counts of what
    -- is there today. Generated columns follow by themselves.
    SELECT string_agg(format('%I', c.attname), ', ' ORDER BY c.attnum),
           string_agg(format('NEW.%1$I := b.%1$I;', c.attname), ' ' ORDER BY c.attnum),
           format('(%s) IS DISTINCT FROM (%s)', string_agg(format('c.%I::text', c.attname), ', ' ORDER BY c.attnum),
                  string_agg(format('b.%I::text', c.attname), ', ' ORDER BY c.attnum))
    INTO shared_columns, assignments, differs
    FROM pg_attribute AS c
    JOIN pg_attribute AS b ON b.attrelid = backup_oid AND b.attname = c.attname AND NOT b.attisdropped
    WHERE c.attrelid = campaigns_oid AND c.attnum > 0 AND NOT c.attisdropped AND c.attgenerated = ''
      AND (NOT phases OR c.attname NOT IN ('current_phase', 'phase_status', 'progress', 'domains', 'leads',
                                           'dns_validated_domains', 'http_validated_domains'));
    IF phases THEN
        assignments := assignments || $sql$
            NEW.current_phase := migration_map_current_phase(b.campaign_type::text);
            NEW.phase_status := migration_map_phase_status(b.status::text);
            NEW.progress := migration_map_progress(NEW.current_phase::text, NEW.phase_status::text,
                NEW.progress_percentage, NEW.domains, NEW.dns_validated_domains, NEW.http_validated_domains, NEW.leads);
            $sql$;
        IF NOT legacy THEN
            differs := differs || $sql$
                OR migration_map_phase_status(b.status::text) IS DISTINCT FROM c.phase_status::text
                OR (migration_map_current_phase(b.campaign_type::text) IS DISTINCT FROM c.current_phase::text)$sql$;
        END IF;
    END IF;

    EXECUTE format('SELECT array_agg(c.id ORDER BY c.id) FROM campaigns AS c JOIN campaigns_pre_migration_backup AS b'
                   ' ON b.id = c.id WHERE %s', differs) INTO changed;
    SELECT array_agg(b.id ORDER BY b.id) INTO deleted FROM campaigns_pre_migration_backup AS b
    WHERE NOT EXISTS (SELECT FROM campaigns AS c WHERE c.id = b.id);
    SELECT array_agg(c.id ORDER BY c.id) INTO created FROM campaigns AS c
    WHERE NOT EXISTS (SELECT FROM campaigns_pre_migration_backup AS b WHERE b.id = c.id);
    RAISE NOTICE 'rollback-data: % campaign(s) changed since the backup, % deleted, % created (%)',
        coalesce(cardinality(changed), 0), coalesce(cardinality(deleted), 0), coalesce(cardinality(created), 0),
        CASE WHEN drop_new THEN 'to be removed' ELSE 'they stay' END;
    PERFORM set_config('migration.rollback_counts', jsonb_build_object(
        'changed', coalesce(cardinality(changed), 0), 'changed_keys', coalesce(to_jsonb(changed[1:20]), '[]'),
        'deleted', coalesce(cardinality(deleted), 0), 'deleted_keys', coalesce(to_jsonb(deleted[1:20]), '[]'),
        'created', coalesce(cardinality(created), 0), 'created_keys', coalesce(to_jsonb(created[1:20]), '[]')
    )::text, false);
    IF dry_run THEN
        RETURN;
    END IF;
    IF changed IS NULL AND deleted IS NULL AND (created IS NULL OR NOT drop_new) THEN
        RETURN;
    END IF;

    -- An earlier saved copy is never overwritten.
    IF to_regclass(format('%I.%I', current_schema(), saved_as)) IS NOT NULL THEN
        saved_as := saved_as || to_char(clock_timestamp(), '_YYYYMMDD_HH24MISS_MS');
    END IF;
    EXECUTE format('CREATE TABLE %I AS TABLE campaigns', saved_as);
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (id)', saved_as);
    EXECUTE format('COMMENT ON TABLE %I IS %L', saved_as, 'phases migration: campaigns before rollback-data.sql, ' || now());
    RAISE NOTICE 'rollback-data: campaigns as they were until now are in %', saved_as;
    PERFORM set_config('migration.rollback_counts', (current_setting('migration.rollback_counts')::jsonb
        || jsonb_build_object('saved_as', saved_as))::text, false);

    IF deleted IS NOT NULL THEN
        -- An identity that is always generated is the row's own, too. The phases follow with the values, further down.
        EXECUTE format('INSERT INTO campaigns (%1$s) OVERRIDING SYSTEM VALUE'
                       ' SELECT %1$s FROM campaigns_pre_migration_backup WHERE id = ANY ($1)', shared_columns) USING deleted;
        RAISE NOTICE 'rollback-data: came back without domains: %', array_to_string(deleted[1:20], ', ');
    END IF;

    -- The last BEFORE trigger has the last word, so that no stamp replaces a restored value.
    EXECUTE format(
        'CREATE FUNCTION migration_restore_row() RETURNS trigger LANGUAGE plpgsql SET search_path = %I, pg_temp AS %L',
        current_schema(), format(
            $body$
            DECLARE
                b campaigns_pre_migration_backup%%ROWTYPE;
            BEGIN
                SELECT * INTO STRICT b FROM campaigns_pre_migration_backup WHERE id = OLD.id;
                %s
                RETURN NEW;
            END
            $body$, assignments));
    CREATE TRIGGER zzzz_migration_restore_row BEFORE UPDATE ON campaigns
        FOR EACH ROW EXECUTE FUNCTION migration_restore_row();
    UPDATE campaigns SET name = name WHERE id = ANY (coalesce(changed, '{}') || coalesce(deleted, '{}'));
    SET CONSTRAINTS ALL IMMEDIATE;
    DROP TRIGGER zzzz_migration_restore_row ON campaigns;
    DROP FUNCTION migration_restore_row();
    IF kept THEN
        EXECUTE format(
            'INSERT INTO migration_legacy_values AS v (campaign_id, campaign_type, status, launch_sequence)'
            ' SELECT id, campaign_type, status, %s FROM campaigns_pre_migration_backup WHERE id = ANY ($1)'
            ' ON CONFLICT (campaign_id) DO UPDATE SET campaign_type = excluded.campaign_type, status = excluded.status,'
            ' launch_sequence = excluded.launch_sequence',
            CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = backup_oid AND attname = 'launch_sequence')
                 THEN 'launch_sequence' ELSE 'NULL::boolean' END)
        USING coalesce(changed, '{}') || coalesce(deleted, '{}');
    END IF;
    IF drop_new AND created IS NOT NULL THEN
        DELETE FROM campaigns WHERE id = ANY (created);
        RAISE NOTICE 'rollback-data: removed, with their domains: %', array_to_string(created[1:20], ', ');
    END IF;
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
