-- Takes back what 000036 up made: its indexes (those that bear its mark), its view and its two functions.
--
-- An index that was there before under the same name and definition bears no mark in its comment and stays. It can be run again.

DO $down$
DECLARE
    home text := current_schema();
    mark CONSTANT text := 'phases migration: %';
    doomed record;
    dropped text[] := '{}';
BEGIN
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '5s', true);
    END IF;

    -- In the order in which writers lock them.
    IF to_regclass(format('%I.generated_domains', home)) IS NOT NULL AND to_regclass(format('%I.campaigns', home)) IS NOT NULL THEN
        EXECUTE format('LOCK TABLE %1$I.generated_domains IN ACCESS EXCLUSIVE MODE', home);
        PERFORM set_config('migration.locked_at', clock_timestamp()::text, false);
        EXECUTE format('LOCK TABLE %1$I.campaigns IN ACCESS EXCLUSIVE MODE', home);
    END IF;

    FOR doomed IN
        SELECT relation.relname
        FROM pg_catalog.pg_index AS index
        INNER JOIN pg_catalog.pg_class AS relation ON relation.oid = index.indexrelid
        WHERE index.indrelid IN (
            to_regclass(format('%I.campaigns', home)), to_regclass(format('%I.generated_domains', home))
        )
        AND obj_description(relation.oid, 'pg_class') LIKE mark
        ORDER BY relation.relname
    LOOP
        EXECUTE format('DROP INDEX %I.%I', home, doomed.relname);
        dropped := dropped || doomed.relname::text;
    END LOOP;

    -- What the pipeline wrote down and was killed before it could mark.
    IF to_regclass(format('%I.migration_saved_objects', home)) IS NOT NULL THEN
        FOR doomed IN EXECUTE format(
            $recorded$
            SELECT saved.identity AS relname
            FROM %1$I.migration_saved_objects AS saved
            INNER JOIN pg_catalog.pg_index AS index
                ON index.indexrelid = to_regclass(format('%%I.%%I', %1$L, saved.identity))
            WHERE saved.kind = 'added index'
            $recorded$,
            home
        )
        LOOP
            EXECUTE format('DROP INDEX %I.%I', home, doomed.relname);
            dropped := dropped || doomed.relname::text;
        END LOOP;
    END IF;

    -- Copies that interrupted rebuilds left, called after their indexes or, where a name is long, after its beginning.
    IF to_regclass(format('%I.migration_saved_objects', home)) IS NOT NULL THEN
        FOR doomed IN EXECUTE format(
            $copies$
            SELECT DISTINCT half.relname, half.oid::regclass AS found
            FROM %1$I.migration_saved_objects AS saved
            INNER JOIN pg_catalog.pg_index AS whole ON whole.indexrelid = to_regclass(saved.identity)
            INNER JOIN pg_catalog.pg_class AS called ON called.oid = whole.indexrelid
            INNER JOIN pg_catalog.pg_index AS copy ON copy.indrelid = whole.indrelid AND NOT copy.indisvalid
            INNER JOIN pg_catalog.pg_class AS half ON half.oid = copy.indexrelid AND half.relname ~ '_cc(new|old)[0-9]*$'
            WHERE saved.kind = 'rebuilt index'
                AND (
                    called.relname = regexp_replace(half.relname, '_cc(new|old)[0-9]*$', '')
                    OR octet_length(half.relname) >= 60
                    AND starts_with(called.relname, regexp_replace(half.relname, '_cc(new|old)[0-9]*$', ''))
                )
            $copies$,
            home
        )
        LOOP
            EXECUTE format('DROP INDEX %s', doomed.found);
            dropped := dropped || doomed.relname::text;
        END LOOP;
    END IF;

    -- What an interrupted concurrent build left has no mark yet. It is recognised by name and definition.
    IF to_regprocedure(format('%I.phases_index_definitions()', home)) IS NOT NULL THEN
        FOR doomed IN EXECUTE format(
            $leftovers$
            SELECT wanted.index_name AS relname
            FROM %1$I.phases_index_definitions() AS wanted
            INNER JOIN pg_catalog.pg_index AS index
                ON index.indexrelid = to_regclass(format('%%I.%%I', %1$L, wanted.index_name))
            WHERE NOT index.indisvalid
                AND wanted.definition = replace(
                    replace(
                        regexp_replace(pg_get_indexdef(index.indexrelid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'),
                        ' ON ONLY ', ' ON '
                    ), format(' ON %%I.', %1$L), ' ON '
                )
            $leftovers$,
            home
        )
        LOOP
            EXECUTE format('DROP INDEX %I.%I', home, doomed.relname);
            dropped := dropped || doomed.relname::text;
        END LOOP;
    END IF;

    IF to_regprocedure(format('%I.maintain_phases_indexes()', home)) IS NOT NULL THEN
        EXECUTE format('DROP FUNCTION %I.maintain_phases_indexes()', home);
    END IF;
    IF to_regclass(format('%I.phases_index_performance', home)) IS NOT NULL THEN
        EXECUTE format('DROP VIEW %I.phases_index_performance', home);
    END IF;
    IF to_regprocedure(format('%I.phases_index_definitions()', home)) IS NOT NULL THEN
        EXECUTE format('DROP FUNCTION %I.phases_index_definitions()', home);
    END IF;
    RAISE NOTICE '000036 down: indexes dropped: %', coalesce(nullif(array_to_string(dropped, ', '), ''), 'none');
END
$down$;
