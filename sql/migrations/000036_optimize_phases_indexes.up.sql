-- Indexes for queries by phase, and what watches over them: maintain_phases_indexes() and phases_index_performance.
--
-- Run it as one file with psql or golang-migrate (CREATE INDEX then keeps writers waiting), or let the pipeline run it:
-- that builds each index of phases_index_definitions() CONCURRENTLY beforehand, and this file finds them there.
-- It can be run again. It stops before its first index where one of the names is taken by something else.

DO $requirements$
DECLARE
    lacking text;
BEGIN
    SELECT string_agg(format('%s.%s', needed.relation, needed.attribute), ', ')
    INTO lacking
    FROM (
        VALUES
        ('campaigns', 'id'),
        ('campaigns', 'name'),
        ('campaigns', 'current_phase'),
        ('campaigns', 'phase_status'),
        ('campaigns', 'user_id'),
        ('campaigns', 'updated_at'),
        ('generated_domains', 'id'),
        ('generated_domains', 'domain_generation_campaign_id'),
        ('generated_domains', 'domain_name'),
        ('generated_domains', 'dns_status'),
        ('generated_domains', 'http_status'),
        ('generated_domains', 'lead_score')
    ) AS needed (relation, attribute)
    WHERE NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass(format('%I.%I', current_schema(), needed.relation))
            AND attname = needed.attribute
            AND NOT attisdropped
    );
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'schema % lacks %, which the indexes of 000036 are for', quote_ident(current_schema()), lacking
            USING ERRCODE = 'undefined_column',
                HINT = 'Run 000035_eliminate_dual_architecture.up.sql first, with this schema first on search_path.';
    END IF;
END
$requirements$;

-- One list for every use: this file, the concurrent builds, the validation and the maintenance. A definition reads as
-- pg_get_indexdef prints it, without the schema. The purpose becomes the index's comment, and its first words tell an
-- index of this migration from one that was there before: the way back drops only those. No counter column stands in an
-- index on campaigns, in an INCLUDE list neither: each update of a counter would then have to write every index of the table.
-- What is included is written once: names, ids, and the phase status, which other indexes have as a key.
-- block: index_definitions
CREATE OR REPLACE FUNCTION phases_index_definitions()
RETURNS TABLE (index_name text, table_name text, definition text, purpose text)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $definitions$
    VALUES
    (
        'idx_campaigns_workflow_primary',
        'campaigns',
        'CREATE INDEX idx_campaigns_workflow_primary ON campaigns'
        ' USING btree (current_phase, phase_status, user_id, updated_at)',
        'phases migration: primary workflow queries, campaigns of a phase and status'
    ),
    (
        'idx_campaigns_phase_transitions',
        'campaigns',
        'CREATE INDEX idx_campaigns_phase_transitions ON campaigns'
        ' USING btree (current_phase, updated_at DESC) INCLUDE (id, name, phase_status)',
        'phases migration: phase transition monitoring, the latest changes in a phase, answered from the index alone'
    ),
    (
        'idx_campaigns_user_dashboard',
        'campaigns',
        'CREATE INDEX idx_campaigns_user_dashboard ON campaigns'
        ' USING btree (user_id, phase_status, updated_at DESC)',
        'phases migration: user dashboards, the latest campaigns of a user by status'
    ),
    (
        'idx_domains_campaign_validation_primary',
        'generated_domains',
        'CREATE INDEX idx_domains_campaign_validation_primary ON generated_domains'
        ' USING btree (domain_generation_campaign_id, dns_status, http_status)',
        'phases migration: domain validation, domains of a campaign by DNS and HTTP status'
    ),
    (
        'idx_domains_campaign_leads',
        'generated_domains',
        'CREATE INDEX idx_domains_campaign_leads ON generated_domains'
        ' USING btree (domain_generation_campaign_id, lead_score) WHERE (lead_score > (0)::numeric)',
        'phases migration: lead analytics, the scores of a campaign''s leads; holds leads alone'
    ),
    (
        'idx_domains_lead_ranking',
        'generated_domains',
        'CREATE INDEX idx_domains_lead_ranking ON generated_domains'
        ' USING btree (lead_score DESC, id) INCLUDE (domain_name, domain_generation_campaign_id)'
        ' WHERE (lead_score > (0)::numeric)',
        'phases migration: the best leads of all campaigns in order, answered from the index alone; holds leads alone'
    );
$definitions$;
-- end block: index_definitions

REVOKE ALL ON FUNCTION phases_index_definitions() FROM PUBLIC;

DO $indexes$
DECLARE
    home text := current_schema();
    problems text;
    wanted record;
    made integer := 0;
BEGIN
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '5s', true);
    END IF;

    SELECT string_agg(format('%I: %s', taken.index_name, taken.problem), '; ' ORDER BY taken.index_name)
    INTO problems
    FROM (
        SELECT
            wanted_index.index_name,
            CASE
                WHEN found_index.indexrelid IS NULL
                    THEN 'the name belongs to something that is no index'
                WHEN NOT (found_index.indisvalid AND found_index.indisready AND found_index.indislive)
                    AND builder.pid IS NOT NULL
                    THEN format('session %s is building the index; run this again when it has ended', builder.pid)
                WHEN NOT (found_index.indisvalid AND found_index.indisready AND found_index.indislive)
                    THEN format(
                        'the index is invalid, a build of it did not end; DROP INDEX CONCURRENTLY %I.%I removes it',
                        home, wanted_index.index_name
                    )
                WHEN replace(
                    replace(regexp_replace(pg_get_indexdef(relation.oid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'), ' ON ONLY ', ' ON '), format(' ON %I.', home), ' ON '
                ) <> wanted_index.definition
                    THEN format(
                        'an index of another definition bears the name (%s); rename it or drop it',
                        pg_get_indexdef(relation.oid)
                    )
            END AS problem
        FROM phases_index_definitions() AS wanted_index
        INNER JOIN pg_catalog.pg_class AS relation
            ON relation.relname = wanted_index.index_name AND relation.relnamespace = to_regnamespace(quote_ident(home))
        LEFT JOIN pg_catalog.pg_index AS found_index ON found_index.indexrelid = relation.oid
        LEFT JOIN pg_catalog.pg_stat_progress_create_index AS builder ON builder.index_relid = relation.oid
    ) AS taken
    WHERE taken.problem IS NOT NULL;
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION 'no index of 000036 was made. %', problems
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Free the names, then run this file again.';
    END IF;

    FOR wanted IN
        SELECT *
        FROM phases_index_definitions() AS wanted_index
        WHERE to_regclass(format('%I.%I', home, wanted_index.index_name)) IS NULL
    LOOP
        -- The column's own type decides what the zero is.
        EXECUTE replace(
            replace(wanted.definition, '(0)::numeric', '0'),
            format(' ON %s ', wanted.table_name),
            format(' ON %I.%I ', home, wanted.table_name)
        );
        EXECUTE format('COMMENT ON INDEX %I.%I IS %L', home, wanted.index_name, wanted.purpose);
        made := made + 1;
    END LOOP;
    RAISE NOTICE '000036: % index(es) created, % were there already', made, (SELECT count(*) FROM phases_index_definitions()) - made;

    -- The pipeline writes down which index it builds before it does; killed in between, it leaves one without its mark.
    IF to_regclass(format('%I.migration_saved_objects', home)) IS NOT NULL THEN
        FOR wanted IN EXECUTE format(
            $unmarked$
            SELECT wanted_index.index_name, wanted_index.purpose
            FROM %1$I.phases_index_definitions() AS wanted_index
            INNER JOIN %1$I.migration_saved_objects AS saved
                ON saved.kind = 'added index' AND saved.identity = wanted_index.index_name
            WHERE obj_description(to_regclass(format('%%I.%%I', %1$L, wanted_index.index_name)), 'pg_class') IS NULL
            $unmarked$,
            home
        )
        LOOP
            EXECUTE format('COMMENT ON INDEX %I.%I IS %L', home, wanted.index_name, wanted.purpose);
        END LOOP;
    END IF;
END
$indexes$;

-- What every index of both tables (and of their partitions) costs and brings, for people and for the reports.
DO $performance_view$
DECLARE
    home text := current_schema();
BEGIN
    EXECUTE format(
        $view$
        CREATE OR REPLACE VIEW %1$I.phases_index_performance AS
        SELECT
            parent.relname AS table_name,
            relation.relname AS index_name,
            activity.idx_scan AS scans,
            activity.idx_tup_read AS tuples_read,
            activity.idx_tup_fetch AS tuples_fetched,
            pg_relation_size(relation.oid) AS bytes,
            (index.indisvalid AND index.indisready AND index.indislive) AS is_valid,
            index.indisunique AS is_unique,
            CASE
                WHEN index.indisprimary THEN 'Primary key'
                WHEN EXISTS (SELECT 1 FROM pg_constraint AS owner WHERE owner.conindid = relation.oid AND owner.contype IN ('u', 'x'))
                    THEN 'Constraint'
                ELSE coalesce(obj_description(relation.oid, 'pg_class'), 'Not made by this migration')
            END AS purpose,
            pg_get_indexdef(relation.oid) AS definition
        FROM (
            SELECT to_regclass(%2$L)::oid AS oid
            UNION
            SELECT to_regclass(%3$L)::oid
            UNION
            SELECT partition.relid::oid FROM pg_partition_tree(to_regclass(%2$L)) AS partition
            UNION
            SELECT partition.relid::oid FROM pg_partition_tree(to_regclass(%3$L)) AS partition
        ) AS core
        INNER JOIN pg_class AS parent ON parent.oid = core.oid
        INNER JOIN pg_index AS index ON index.indrelid = parent.oid
        INNER JOIN pg_class AS relation ON relation.oid = index.indexrelid
        LEFT JOIN pg_stat_all_indexes AS activity ON activity.indexrelid = relation.oid
        ORDER BY parent.relname, relation.relname
        $view$,
        home, format('%I.campaigns', home), format('%I.generated_domains', home)
    );
    EXECUTE format('REVOKE ALL ON %I.phases_index_performance FROM PUBLIC', home);
    EXECUTE format(
        'COMMENT ON VIEW %I.phases_index_performance IS %L',
        home, 'phases migration: one row per index of campaigns and generated_domains: use, size (bytes), validity, purpose'
    );
END
$performance_view$;

-- Weekly maintenance. It reads the indexes' state and runs ANALYZE; rebuilding is left to the caller, because REINDEX
-- CONCURRENTLY cannot run inside a function.
CREATE OR REPLACE FUNCTION maintain_phases_indexes()
RETURNS TABLE (index_name text, action text, details text)
LANGUAGE plpgsql
AS $maintenance$
DECLARE
    -- The function's own search path begins with its schema.
    home text := current_schema();
    core_table text;
    statistics_since text := coalesce(
        (
            SELECT 'since ' || to_char(activity.stats_reset, 'YYYY-MM-DD HH24:MI TZH')
            FROM pg_catalog.pg_stat_database AS activity
            WHERE activity.datname = current_database()
        ),
        'since statistics began'
    );
BEGIN
    RETURN QUERY
    SELECT
        wanted.index_name,
        'missing'::text,
        format('%s. Run 000036_optimize_phases_indexes.up.sql again', wanted.definition)
    FROM phases_index_definitions() AS wanted
    WHERE to_regclass(format('%I.%I', home, wanted.index_name)) IS NULL
    ORDER BY wanted.index_name;

    RETURN QUERY
    SELECT
        current.index_name::text,
        CASE
            WHEN NOT current.is_valid THEN 'invalid'
            WHEN wanted.definition <> replace(
                replace(regexp_replace(current.definition, 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'), ' ON ONLY ', ' ON '), format(' ON %I.', home), ' ON '
            ) THEN 'different'
            WHEN current.scans = 0 AND NOT current.is_unique THEN 'unused'
            ELSE 'kept'
        END,
        CASE
            WHEN NOT current.is_valid AND current.index_name ~ '_cc(new|old)\d*$'
                THEN format(
                    'left behind by an interrupted REINDEX CONCURRENTLY: DROP INDEX CONCURRENTLY %I.%I',
                    home, current.index_name
                )
            WHEN NOT current.is_valid
                THEN format('it takes writes and serves no query: REINDEX INDEX CONCURRENTLY %I.%I', home, current.index_name)
            WHEN wanted.definition <> replace(
                replace(regexp_replace(current.definition, 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'), ' ON ONLY ', ' ON '), format(' ON %I.', home), ' ON '
            ) THEN format('it is %s where 000036 has %s', current.definition, wanted.definition)
            ELSE format(
                '%s scans %s, %s. %s',
                coalesce(current.scans, 0), statistics_since, pg_size_pretty(current.bytes), current.purpose
            )
        END
    FROM phases_index_performance AS current
    LEFT JOIN phases_index_definitions() AS wanted ON wanted.index_name = current.index_name
    ORDER BY current.table_name, current.index_name;

    -- Partitions that came later: what is written to them by their own name is not counted.
    RETURN QUERY
    SELECT
        part.relid::regclass::text,
        'not counted'::text,
        'this partition has no metrics triggers: SELECT campaign_metrics_cover_partitions(), then run validate-migration.sql'::text
    FROM pg_partition_tree(to_regclass(format('%I.generated_domains', home))) AS part
    WHERE part.relid <> to_regclass(format('%I.generated_domains', home))
        AND NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_trigger AS t
            WHERE t.tgrelid = part.relid AND t.tgname = 'zzz_campaign_metrics_insert' AND t.tgenabled IN ('O', 'A')
        )
    ORDER BY 1;

    FOREACH core_table IN ARRAY ARRAY['campaigns', 'generated_domains'] LOOP
        index_name := core_table;
        IF NOT pg_has_role((SELECT relowner FROM pg_catalog.pg_class WHERE oid = to_regclass(format('%I.%I', home, core_table))), 'USAGE') THEN
            action := 'not analyzed';
            details := format('only the owner of %I.%I may run ANALYZE on it', home, core_table);
        ELSE
            BEGIN
                EXECUTE format('ANALYZE %I.%I', home, core_table);
                action := 'analyzed';
                details := format(
                    'statistics are fresh: %s rows estimated',
                    (SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass(format('%I.%I', home, core_table)))
                );
            EXCEPTION WHEN lock_not_available THEN
                action := 'not analyzed';
                details := 'another session held a conflicting lock for longer than lock_timeout';
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$maintenance$;

REVOKE ALL ON FUNCTION maintain_phases_indexes() FROM PUBLIC;

DO $pin$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION %1$I.maintain_phases_indexes() SET search_path = %1$I, pg_catalog, pg_temp', current_schema()
    );
    EXECUTE format(
        'COMMENT ON FUNCTION %I.maintain_phases_indexes() IS %L',
        current_schema(),
        'phases migration: weekly maintenance; names missing, invalid, different and unused indexes of campaigns and generated_domains, and runs ANALYZE'
    );
END
$pin$;

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
