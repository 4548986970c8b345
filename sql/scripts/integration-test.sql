-- Tests a migrated database end to end: writes through every path, legal and illegal, and looks at what comes of it.
--
-- Run it after all migrations. Each test writes into campaigns of its own inside a subtransaction that is rolled back, so that
-- every table but migration_integration_results is left as it was, on a database in use as well.
-- migration_integration_test_report shows the latest run. The last statement raises if a test failed. migration.run_id, where
-- set, is recorded with each row. What one session and plain SQL cannot test is recorded as SKIPPED, with the reason.

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
        AND c.relname IN ('migration_integration_results', 'migration_integration_test_report')
        AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %';
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'names that the integration test needs are taken: %', lacking
            USING ERRCODE = 'duplicate_table', HINT = 'Rename them; nothing has been changed.';
    END IF;
    -- The tests take row locks in campaigns of their own only; these limits are for the unexpected.
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '5s', false);
    END IF;
    IF current_setting('statement_timeout') = '0' THEN
        PERFORM set_config('statement_timeout', '5min', false);
    END IF;
END
$requirements$;

CREATE TABLE IF NOT EXISTS migration_integration_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    test_run_timestamp timestamptz NOT NULL,
    test_suite text NOT NULL,
    test_name text NOT NULL,
    status text NOT NULL CHECK (status IN ('PASS', 'WARN', 'FAIL', 'SKIPPED')),
    execution_time_ms numeric(12, 3) NOT NULL,
    details text NOT NULL
);
COMMENT ON TABLE migration_integration_results IS 'phases migration: the tests of every integration test run';

CREATE OR REPLACE VIEW migration_integration_test_report AS
SELECT
    results.test_run_timestamp,
    results.test_suite,
    results.test_name,
    results.status,
    results.execution_time_ms,
    results.details,
    results.run_id
FROM migration_integration_results AS results
WHERE (results.run_id, results.test_run_timestamp) = (
    SELECT latest.run_id, latest.test_run_timestamp
    FROM migration_integration_results AS latest
    ORDER BY latest.id DESC
    LIMIT 1
)
ORDER BY results.id;
COMMENT ON VIEW migration_integration_test_report IS 'phases migration: the tests of the latest integration test run';

-- A test's words. Each ends it with a SQLSTATE of its own (not MT000: that would stand for all of MT...); a test that comes
-- to its end passes.
CREATE OR REPLACE FUNCTION pg_temp.passed(details text) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'MT004', MESSAGE = details;
END
$body$;

CREATE OR REPLACE FUNCTION pg_temp.warned(details text) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'MT002', MESSAGE = details;
END
$body$;

CREATE OR REPLACE FUNCTION pg_temp.skipped(details text) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'MT003', MESSAGE = details;
END
$body$;

CREATE OR REPLACE FUNCTION pg_temp.expect(fulfilled boolean, otherwise text) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    IF fulfilled IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'MT001', MESSAGE = otherwise;
    END IF;
END
$body$;

-- An enum or a domain of the installation refuses a value with a code of its own.
CREATE OR REPLACE FUNCTION pg_temp.expect_refused(statement text, code text) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    got text := 'accepted';
BEGIN
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN
        got := SQLSTATE;
        IF got = 'P0001' THEN
            RAISE;  -- a rule of the application's own came first
        END IF;
    END;
    PERFORM pg_temp.expect(
        got = code OR (code = '23514' AND got = '22P02'), format('%s was expected to be refused with %s, and the answer is: %s', statement, code, got)
    );
END
$body$;

-- The columns that a test row of a table must give, as JSON: what the test says, and for columns that are NOT NULL without a
-- default what another row of the table has, made unique where it must be. An installation's own columns are met that way.
CREATE OR REPLACE FUNCTION pg_temp.test_values(relation regclass, given jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    template jsonb;
    result jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(t) FROM %s AS t LIMIT 1', relation) INTO template;
    SELECT jsonb_object_agg(needed.attname, needed.value)
    INTO result
    FROM (
        SELECT
            a.attname,
            CASE
                WHEN t.oid = 'uuid'::regtype AND is_unique.yes THEN to_jsonb(gen_random_uuid())
                WHEN t.typcategory = 'S' AND is_unique.yes
                    THEN to_jsonb(concat('integration test ', gen_random_uuid()))
                WHEN template -> a.attname IS NOT NULL THEN template -> a.attname
                WHEN t.oid = 'uuid'::regtype THEN to_jsonb(gen_random_uuid())
                WHEN t.typcategory = 'E'
                    THEN (
                        SELECT to_jsonb(e.enumlabel::text) FROM pg_catalog.pg_enum AS e
                        WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder LIMIT 1
                    )
                WHEN t.typcategory = 'S' THEN to_jsonb('integration test'::text)
                WHEN t.typcategory = 'N' THEN to_jsonb(0)
                WHEN t.typcategory = 'B' THEN to_jsonb(false)
                WHEN t.typcategory = 'D' THEN to_jsonb(now())
                WHEN t.typcategory = 'A' THEN to_jsonb('{}'::text)
                WHEN t.oid IN ('json'::regtype, 'jsonb'::regtype) THEN '{}'::jsonb
            END AS value
        FROM pg_catalog.pg_attribute AS a
        INNER JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
        CROSS JOIN LATERAL (
            SELECT EXISTS (
                SELECT 1 FROM pg_catalog.pg_index AS i
                WHERE i.indrelid = relation AND i.indisunique AND a.attnum = ANY (i.indkey)
            ) AS yes
        ) AS is_unique
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''
            AND NOT given ? a.attname::text
    ) AS needed;
    RETURN coalesce(result, '{}') || given;
END
$body$;

CREATE OR REPLACE FUNCTION pg_temp.column_list(given jsonb, prefix text DEFAULT '') RETURNS text LANGUAGE sql AS $body$
    SELECT string_agg(prefix || quote_ident(key), ', ' ORDER BY key) FROM jsonb_object_keys(given) AS key
$body$;

-- A campaign of the test's own. Its user is another campaign's, so that it is a user who exists; its phases columns are the
-- database's business.
CREATE OR REPLACE FUNCTION pg_temp.test_campaign(given jsonb DEFAULT '{}') RETURNS uuid LANGUAGE plpgsql AS $body$
DECLARE
    row_values jsonb := (
        pg_temp.test_values('campaigns'::regclass, given)
        - '{current_phase,phase_status,progress,domains,leads,dns_validated_domains,http_validated_domains}'::text []
    ) || given;
    made uuid;
BEGIN
    IF NOT row_values ? 'user_id' THEN
        row_values := row_values || jsonb_build_object(
            'user_id', (SELECT c.user_id FROM campaigns AS c WHERE c.user_id IS NOT NULL LIMIT 1)
        );
    END IF;
    EXECUTE format(
        'INSERT INTO campaigns (%s) SELECT %s FROM jsonb_populate_record(NULL::campaigns, $1) AS r RETURNING id',
        pg_temp.column_list(row_values), pg_temp.column_list(row_values, 'r.')
    ) INTO made USING row_values;
    RETURN made;
END
$body$;

-- What the domains of a test have in common, and one of them, by number.
CREATE OR REPLACE FUNCTION pg_temp.domain_values(campaign uuid, given jsonb) RETURNS jsonb LANGUAGE sql AS $body$
    SELECT pg_temp.test_values(
        'generated_domains'::regclass,
        jsonb_build_object('domain_generation_campaign_id', campaign, 'domain_name', '', 'offset_index', 0)
        || coalesce(
            (
                SELECT jsonb_build_object('id', gen_random_uuid()) FROM pg_catalog.pg_attribute
                WHERE attrelid = 'generated_domains'::regclass AND attname = 'id' AND atttypid = 'uuid'::regtype
                    AND attgenerated = ''
            ),
            '{}'
        )
        || given
    )
$body$;

CREATE OR REPLACE FUNCTION pg_temp.domain_rows(shared jsonb, first_number integer, last_number integer)
RETURNS SETOF generated_domains LANGUAGE sql AS $body$
    SELECT r.*
    FROM (
        -- As domains here end, lest a rule of the application's own refuses the name.
        SELECT coalesce(
            (SELECT substring(d.domain_name FROM '[^.]+$') FROM generated_domains AS d WHERE d.domain_name LIKE '%.%' LIMIT 1), 'invalid'
        ) AS ending
    ) AS used
    CROSS JOIN generate_series(first_number, last_number) AS number
    CROSS JOIN LATERAL jsonb_populate_record(
        NULL::generated_domains,
        shared
        || jsonb_build_object('domain_name', format('integration-test-%s.%s', number, used.ending), 'offset_index', number)
        || CASE jsonb_typeof(shared -> 'id')
            WHEN 'string' THEN jsonb_build_object('id', md5(concat(shared ->> 'domain_generation_campaign_id', number))::uuid)
            WHEN 'number' THEN jsonb_build_object('id', 9000000000000000000 + number)
            ELSE '{}'
        END
    ) AS r
$body$;

CREATE OR REPLACE FUNCTION pg_temp.test_domains(campaign uuid, first_number integer, last_number integer, given jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    shared jsonb := pg_temp.domain_values(campaign, given);
BEGIN
    EXECUTE format(
        'INSERT INTO generated_domains (%s) SELECT %s FROM pg_temp.domain_rows($1, $2, $3) AS r',
        pg_temp.column_list(shared), pg_temp.column_list(shared, 'r.')
    ) USING shared, first_number, last_number;
END
$body$;

-- What COMMIT would do to the metrics, now.
CREATE OR REPLACE FUNCTION pg_temp.fold() RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    EXECUTE format('SET CONSTRAINTS %I.campaign_metric_changes_fold IMMEDIATE', current_schema());
    EXECUTE format('SET CONSTRAINTS %I.campaign_metric_changes_fold DEFERRED', current_schema());
END
$body$;

CREATE OR REPLACE FUNCTION pg_temp.expect_metrics(
    campaign uuid, domains bigint, dns bigint, http bigint, leads bigint, after_what text
) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    stored text;
    counted text;
    wanted text := concat_ws('/', $2, $3, $4, $5);
BEGIN
    PERFORM pg_temp.fold();
    SELECT concat_ws('/', c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
    INTO stored
    FROM campaigns AS c
    WHERE c.id = campaign;
    SELECT concat_ws(
        '/', count(*), count(*) FILTER (WHERE gd.dns_status = 'ok'), count(*) FILTER (WHERE gd.http_status = 'ok'),
        count(*) FILTER (WHERE gd.lead_score > 0)
    )
    INTO counted
    FROM generated_domains AS gd
    WHERE gd.domain_generation_campaign_id = campaign;
    PERFORM pg_temp.expect(
        stored = counted AND stored = wanted,
        format(
            'after %s domains/dns/http/leads are %s, a recount gives %s, expected %s',
            after_what, coalesce(stored, 'gone'), counted, wanted
        )
    );
END
$body$;

-- Whether a query is served by an index. A planner that prefers to read a small table whole is right to.
CREATE OR REPLACE FUNCTION pg_temp.expect_index(query text, wanted_index text, relation regclass) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    plan json;
    used text [];
    pages integer := (SELECT relpages FROM pg_catalog.pg_class WHERE oid = relation);
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    used := ARRAY(SELECT DISTINCT jsonb_path_query(plan::jsonb, '$.**?(exists(@."Index Cond"))."Index Name"') #>> '{}');
    IF wanted_index = ANY (used) THEN
        PERFORM pg_temp.passed(format('the plan uses %s', wanted_index));
    ELSIF EXISTS (SELECT 1 FROM phases_index_definitions() AS d WHERE d.index_name = ANY (used)) THEN
        PERFORM pg_temp.passed(format('the plan uses %s, which serves this query too', array_to_string(used, ', ')));
    END IF;
    PERFORM set_config('enable_seqscan', 'off', true);
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    used := ARRAY(SELECT DISTINCT jsonb_path_query(plan::jsonb, '$.**?(exists(@."Index Cond"))."Index Name"') #>> '{}');
    IF NOT wanted_index = ANY (used) THEN
        PERFORM pg_temp.warned(format(
            '%s does not serve this query (%s does): %s',
            wanted_index, coalesce(nullif(array_to_string(used, ', '), ''), 'no index'), query
        ));
    ELSIF pages < 200 THEN
        PERFORM pg_temp.passed(format(
            '%s has %s pages and is read whole, which is quicker; %s serves this query as it grows',
            relation, pages, wanted_index
        ));
    END IF;
    PERFORM pg_temp.warned(format(
        '%s could serve this query, and the planner prefers another way; run ANALYZE %s and look at EXPLAIN ANALYZE %s',
        array_to_string(used, ', '), relation, query
    ));
END
$body$;

CREATE TEMP TABLE IF NOT EXISTS migration_tests (
    ordinal integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    suite text NOT NULL,
    name text NOT NULL UNIQUE,
    skip_reason text,
    body text -- a PL/pgSQL block
);
TRUNCATE pg_temp.migration_tests;

INSERT INTO pg_temp.migration_tests (suite, name, body)
VALUES
(
    'schema', 'legacy_columns_are_gone',
    $test$
    DECLARE
        remaining text := (
            SELECT string_agg(attname, ', ') FROM pg_attribute
            WHERE attrelid = 'campaigns'::regclass AND NOT attisdropped
                AND attname IN ('campaign_type', 'status', 'launch_sequence')
        );
    BEGIN
        PERFORM pg_temp.expect(remaining IS NULL, format('campaigns still has %s; run the migrations first', remaining));
    END
    $test$
),
(
    'schema', 'phases_columns_are_there',
    $test$
    BEGIN
        PERFORM current_phase, phase_status, progress, domains, leads, dns_validated_domains, http_validated_domains
        FROM campaigns LIMIT 1;
    END
    $test$
),
(
    'schema', 'legacy_values_map_as_documented',
    $test$
    DECLARE
        wrong text;
    BEGIN
        SELECT string_agg(format('%s became %s', p.legacy, coalesce(migration_map_current_phase(p.legacy), 'NULL')), ', ')
        INTO wrong
        FROM (
            VALUES
            ('domain_generation', 'generation'), ('dns_validation', 'dns_validation'),
            ('http_keyword_validation', 'http_keyword_validation'), ('analysis', 'analysis'),
            ('comprehensive', 'generation'), ('automated', 'generation')
        ) AS p (legacy, phase)
        WHERE migration_map_current_phase(p.legacy) IS DISTINCT FROM p.phase;
        PERFORM pg_temp.expect(wrong IS NULL, wrong);
        SELECT string_agg(format('%s became %s', p.legacy, coalesce(migration_map_phase_status(p.legacy), 'NULL')), ', ')
        INTO wrong
        FROM (
            VALUES
            ('pending', 'not_started'), ('queued', 'not_started'), ('running', 'in_progress'), ('pausing', 'paused'),
            ('paused', 'paused'), ('completed', 'completed'), ('failed', 'failed'), ('archived', 'completed'),
            ('cancelled', 'failed')
        ) AS p (legacy, phase_status)
        WHERE migration_map_phase_status(p.legacy) IS DISTINCT FROM p.phase_status;
        PERFORM pg_temp.expect(wrong IS NULL, wrong);
    END
    $test$
),
(
    'schema', 'progress_follows_its_formula',
    $test$
    DECLARE
        wrong text;
    BEGIN
        SELECT string_agg(format('%s/%s gave %s, not %s', p.phase, p.phase_status, got.progress, p.progress), ', ')
        INTO wrong
        FROM (
            VALUES
            ('analysis', 'completed', 10.0, 0, 0, 0, 0, 100.00), ('analysis', 'failed', 10.0, 4, 4, 4, 4, 0.00),
            ('generation', 'not_started', 10.0, 0, 0, 0, 0, 0.00), ('setup', 'in_progress', 50.0, 4, 4, 4, 4, 0.00),
            ('generation', 'in_progress', 50.0, 0, 0, 0, 0, 12.50), ('dns_validation', 'in_progress', 0.0, 4, 1, 0, 0, 31.25),
            ('http_keyword_validation', 'paused', 0.0, 4, 4, 2, 0, 62.50), ('analysis', 'in_progress', 0.0, 4, 4, 4, 1, 80.00),
            ('dns_validation', 'in_progress', 0.0, 0, 0, 0, 0, 25.00)
        ) AS p (phase, phase_status, percentage, domains, dns, http, leads, progress)
        CROSS JOIN LATERAL migration_map_progress(
            p.phase, p.phase_status, p.percentage::double precision,
            p.domains::bigint, p.dns::bigint, p.http::bigint, p.leads::bigint
        ) AS got (progress)
        WHERE got.progress IS DISTINCT FROM p.progress;
        PERFORM pg_temp.expect(wrong IS NULL, wrong);
    END
    $test$
),
(
    'schema', 'metrics_functions_are_safe',
    $test$
    DECLARE
        unsafe text := (
            SELECT string_agg(DISTINCT p.oid::regprocedure::text, ', ')
            FROM pg_trigger AS t
            INNER JOIN pg_proc AS p ON p.oid = t.tgfoid
            WHERE (t.tgname LIKE 'zzz\_campaign\_metrics\_%' OR t.tgname = 'campaign_metric_changes_fold')
                AND t.tgrelid IN ('generated_domains'::regclass, 'campaign_metric_changes'::regclass)
                AND NOT (p.prosecdef AND coalesce(array_to_string(p.proconfig, ' ') LIKE '%search_path=%', false))
        );
    BEGIN
        PERFORM pg_temp.expect(
            unsafe IS NULL, format('not SECURITY DEFINER with a search_path of their own: %s', unsafe)
        );
    END
    $test$
),
(
    'phases', 'new_campaigns_begin_in_setup',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        found text;
    BEGIN
        SELECT concat_ws('/', current_phase, phase_status, progress::numeric(5, 2), domains, leads, dns_validated_domains, http_validated_domains)
        INTO found FROM campaigns WHERE id = made;
        PERFORM pg_temp.expect(found = 'setup/not_started/0.00/0/0/0/0', format('a new campaign has %s', found));
    END
    $test$
),
(
    'phases', 'every_phase_and_status_is_accepted',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        pair record;
        found text;
    BEGIN
        FOR pair IN
            SELECT phase, phase_status
            FROM unnest(ARRAY['setup', 'generation', 'dns_validation', 'http_keyword_validation', 'analysis']) AS phase
            CROSS JOIN unnest(ARRAY['not_started', 'in_progress', 'paused', 'completed', 'failed']) AS phase_status
        LOOP
            EXECUTE format(
                'UPDATE campaigns SET current_phase = %L, phase_status = %L WHERE id = %L'
                ' RETURNING concat_ws(''/'', current_phase, phase_status)', pair.phase, pair.phase_status, made
            ) INTO found;
            PERFORM pg_temp.expect(
                found = concat_ws('/', pair.phase, pair.phase_status),
                format('%s/%s was stored as %s', pair.phase, pair.phase_status, coalesce(found, 'nothing'))
            );
        END LOOP;
    END
    $test$
),
(
    'phases', 'a_campaign_goes_through_its_phases',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        step record;
        found text;
    BEGIN
        FOR step IN
            SELECT * FROM (
                VALUES
                (1, 'setup', 'in_progress', 0), (2, 'generation', 'in_progress', 12.5), (3, 'generation', 'paused', 12.5),
                (4, 'generation', 'in_progress', 25), (5, 'dns_validation', 'in_progress', 37.5),
                (6, 'http_keyword_validation', 'in_progress', 62.5), (7, 'analysis', 'in_progress', 95),
                (8, 'analysis', 'completed', 100)
            ) AS s (ordinal, phase, phase_status, progress) ORDER BY ordinal
        LOOP
            EXECUTE format(
                'UPDATE campaigns SET current_phase = %L, phase_status = %L, progress = %L WHERE id = %L'
                ' RETURNING concat_ws(''/'', current_phase, phase_status, progress::numeric(5, 2))',
                step.phase, step.phase_status, step.progress, made
            ) INTO found;
            PERFORM pg_temp.expect(
                found = concat_ws('/', step.phase, step.phase_status, step.progress::numeric(5, 2)),
                format('step %s was stored as %s', step.ordinal, coalesce(found, 'nothing'))
            );
        END LOOP;
    END
    $test$
),
(
    'phases', 'illegal_values_are_refused',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        bad record;
    BEGIN
        FOR bad IN
            SELECT * FROM (
                VALUES
                ('current_phase = ''domain_generation''', '23514'), ('current_phase = ''''', '23514'),
                ('phase_status = ''running''', '23514'), ('phase_status = ''pending''', '23514'),
                ('current_phase = NULL', '23502'), ('phase_status = NULL', '23502'), ('progress = NULL', '23502'),
                ('progress = 100.01', '23514'), ('progress = -0.01', '23514'), ('domains = -1', '23514'),
                ('leads = -1', '23514'), ('dns_validated_domains = -1', '23514'), ('http_validated_domains = -1', '23514'),
                ('domains = NULL', '23502')
            ) AS b (assignment, code)
        LOOP
            PERFORM pg_temp.expect_refused(format('UPDATE campaigns SET %s WHERE id = %L', bad.assignment, made), bad.code);
        END LOOP;
        PERFORM pg_temp.expect_refused('SELECT pg_temp.test_campaign(''{"current_phase": "unknown"}'')', '23514');
        PERFORM pg_temp.expect_refused('SELECT pg_temp.test_campaign(''{"phase_status": "unknown"}'')', '23514');
    END
    $test$
),
(
    'metrics', 'metrics_follow_insert',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
    BEGIN
        PERFORM pg_temp.test_domains(made, 1, 1);
        PERFORM pg_temp.expect_metrics(made, 1, 0, 0, 0, 'an INSERT of one row');
        PERFORM pg_temp.test_domains(made, 2, 50, '{"dns_status": "ok", "http_status": "ok", "lead_score": 7.5}');
        PERFORM pg_temp.expect_metrics(made, 50, 49, 49, 49, 'an INSERT of many rows');
        PERFORM pg_temp.test_domains(made, 51, 60, '{"dns_status": "error", "http_status": "timeout", "lead_score": 0}');
        PERFORM pg_temp.expect_metrics(made, 60, 49, 49, 49, 'an INSERT of rows that failed');
    END
    $test$
),
(
    'metrics', 'metrics_follow_update',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
    BEGIN
        PERFORM pg_temp.test_domains(made, 1, 20, '{"dns_status": "pending", "http_status": "pending"}');
        UPDATE generated_domains SET dns_status = 'ok' WHERE domain_generation_campaign_id = made AND offset_index <= 12;
        PERFORM pg_temp.expect_metrics(made, 20, 12, 0, 0, 'an UPDATE of dns_status');
        UPDATE generated_domains SET http_status = 'ok', lead_score = offset_index
        WHERE domain_generation_campaign_id = made AND offset_index <= 5;
        PERFORM pg_temp.expect_metrics(made, 20, 12, 5, 5, 'an UPDATE of http_status and lead_score');
        UPDATE generated_domains SET dns_status = NULL, http_status = 'error', lead_score = 0
        WHERE domain_generation_campaign_id = made AND offset_index <= 3;
        PERFORM pg_temp.expect_metrics(made, 20, 9, 2, 2, 'an UPDATE that takes results back');
        UPDATE generated_domains SET domain_name = concat('x-', domain_name) WHERE domain_generation_campaign_id = made;
        PERFORM pg_temp.expect_metrics(made, 20, 9, 2, 2, 'an UPDATE of another column');
    END
    $test$
),
(
    'metrics', 'metrics_follow_a_moved_domain',
    $test$
    DECLARE
        old_home uuid := pg_temp.test_campaign();
        new_home uuid := pg_temp.test_campaign();
    BEGIN
        PERFORM pg_temp.test_domains(old_home, 1, 10, '{"dns_status": "ok", "http_status": "error", "lead_score": 1}');
        UPDATE generated_domains SET domain_generation_campaign_id = new_home, http_status = 'ok'
        WHERE domain_generation_campaign_id = old_home AND offset_index <= 4;
        PERFORM pg_temp.expect_metrics(old_home, 6, 6, 0, 6, 'domains moved away');
        PERFORM pg_temp.expect_metrics(new_home, 4, 4, 4, 4, 'domains moved in');
    END
    $test$
),
(
    'metrics', 'metrics_follow_on_conflict',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        shared jsonb := pg_temp.domain_values(made, '{"dns_status": "ok"}');
        -- A unique index over nothing but columns that the test chooses values for.
        arbiter text := (
            SELECT string_agg(quote_ident(a.attname), ', ')
            FROM pg_index AS i INNER JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
            WHERE i.indrelid = 'generated_domains'::regclass AND i.indisunique AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL
            GROUP BY i.indexrelid
            HAVING bool_and(shared ? a.attname::text AND a.attname IN ('id', 'domain_generation_campaign_id', 'domain_name'))
            ORDER BY count(*) DESC
            LIMIT 1
        );
    BEGIN
        IF arbiter IS NULL THEN
            PERFORM pg_temp.skipped('generated_domains has no unique index that a test can meet a conflict on');
        END IF;
        PERFORM pg_temp.test_domains(made, 1, 10, '{"dns_status": "pending"}');
        EXECUTE format(
            'INSERT INTO generated_domains (%s) SELECT %s FROM pg_temp.domain_rows($1, 6, 15) AS r'
            ' ON CONFLICT (%s) DO UPDATE SET dns_status = excluded.dns_status',
            pg_temp.column_list(shared), pg_temp.column_list(shared, 'r.'), arbiter
        ) USING shared;
        PERFORM pg_temp.expect_metrics(made, 15, 10, 0, 0, 'ON CONFLICT DO UPDATE');
        EXECUTE format(
            'INSERT INTO generated_domains (%s) SELECT %s FROM pg_temp.domain_rows($1, 11, 20) AS r ON CONFLICT DO NOTHING',
            pg_temp.column_list(shared), pg_temp.column_list(shared, 'r.')
        ) USING shared;
        PERFORM pg_temp.expect_metrics(made, 20, 15, 0, 0, 'ON CONFLICT DO NOTHING');
    END
    $test$
),
(
    'metrics', 'metrics_follow_merge',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        shared jsonb := pg_temp.domain_values(made, '{"http_status": "ok"}');
    BEGIN
        IF current_setting('server_version_num')::integer < 150000 THEN
            PERFORM pg_temp.skipped('this server has no MERGE (it came with PostgreSQL 15)');
        END IF;
        PERFORM pg_temp.test_domains(made, 1, 10, '{"dns_status": "ok"}');
        EXECUTE format(
            'MERGE INTO generated_domains AS t USING pg_temp.domain_rows($1, 4, 15) AS r'
            ' ON t.domain_generation_campaign_id = r.domain_generation_campaign_id AND t.domain_name = r.domain_name'
            ' WHEN MATCHED AND t.offset_index <= 6 THEN DELETE'
            ' WHEN MATCHED THEN UPDATE SET http_status = r.http_status'
            ' WHEN NOT MATCHED THEN INSERT (%s) VALUES (%s)',
            pg_temp.column_list(shared), pg_temp.column_list(shared, 'r.')
        ) USING shared;
        PERFORM pg_temp.expect_metrics(made, 12, 7, 9, 0, 'MERGE');
    END
    $test$
),
(
    'metrics', 'metrics_follow_delete',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
    BEGIN
        PERFORM pg_temp.test_domains(made, 1, 10, '{"dns_status": "ok", "lead_score": 3}');
        DELETE FROM generated_domains WHERE domain_generation_campaign_id = made AND offset_index <= 4;
        PERFORM pg_temp.expect_metrics(made, 6, 6, 0, 6, 'a DELETE');
        DELETE FROM generated_domains WHERE domain_generation_campaign_id = made;
        PERFORM pg_temp.expect_metrics(made, 0, 0, 0, 0, 'a DELETE of all');
    END
    $test$
),
(
    'metrics', 'metrics_add_up_over_several_statements',
    $test$
    DECLARE
        first_campaign uuid := pg_temp.test_campaign();
        second_campaign uuid := pg_temp.test_campaign();
    BEGIN
        PERFORM pg_temp.test_domains(first_campaign, 1, 10, '{"dns_status": "pending"}');
        PERFORM pg_temp.test_domains(second_campaign, 1, 5, '{"dns_status": "ok"}');
        UPDATE generated_domains SET dns_status = 'ok' WHERE domain_generation_campaign_id = first_campaign AND offset_index <= 5;
        DELETE FROM generated_domains WHERE domain_generation_campaign_id = first_campaign AND offset_index IN (1, 10);
        PERFORM pg_temp.test_domains(first_campaign, 11, 12, '{"http_status": "ok"}');
        PERFORM pg_temp.expect_metrics(first_campaign, 10, 4, 2, 0, 'five statements in one transaction');
        PERFORM pg_temp.expect_metrics(second_campaign, 5, 5, 0, 0, 'five statements in one transaction');
    END
    $test$
),
(
    'metrics', 'rolled_back_writes_leave_no_trace',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
    BEGIN
        PERFORM pg_temp.test_domains(made, 1, 3);
        BEGIN
            PERFORM pg_temp.test_domains(made, 4, 9);
            RAISE EXCEPTION USING ERRCODE = 'MT009', MESSAGE = 'roll back';
        EXCEPTION WHEN SQLSTATE 'MT009' THEN
            NULL;
        END;
        PERFORM pg_temp.expect_metrics(made, 3, 0, 0, 0, 'a rolled back INSERT');
    END
    $test$
),
(
    'metrics', 'folded_differences_are_removed',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        remaining bigint;
    BEGIN
        PERFORM pg_temp.test_domains(made, 1, 3);
        PERFORM pg_temp.fold();
        SELECT count(*) INTO remaining FROM campaign_metric_changes WHERE campaign_id = made;
        PERFORM pg_temp.expect(remaining = 0, format('%s differences are left after the fold', remaining));
    END
    $test$
),
(
    'timestamps', 'metrics_leave_every_other_column_alone',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign('{"updated_at": "2020-02-02T02:02:02Z"}');
        row_before jsonb;
        row_after jsonb;
        changed text;
    BEGIN
        SELECT to_jsonb(c) INTO row_before FROM campaigns AS c WHERE c.id = made;
        PERFORM pg_temp.test_domains(made, 1, 4, '{"dns_status": "ok"}');
        PERFORM pg_temp.expect_metrics(made, 4, 4, 0, 0, 'an INSERT');
        SELECT to_jsonb(c) INTO row_after FROM campaigns AS c WHERE c.id = made;
        SELECT string_agg(format('%s from %s to %s', key, row_before -> key, row_after -> key), ', ')
        INTO changed
        FROM jsonb_object_keys(row_before) AS key
        WHERE key NOT IN ('domains', 'leads', 'dns_validated_domains', 'http_validated_domains')
            AND row_before -> key IS DISTINCT FROM row_after -> key;
        PERFORM pg_temp.expect(changed IS NULL, format('a change of domains changed %s', changed));
    END
    $test$
),
(
    'timestamps', 'a_real_change_is_still_stamped',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign('{"updated_at": "2020-02-02T02:02:02Z"}');
        stamp_before timestamptz;
        stamp_after timestamptz;
    BEGIN
        IF NOT EXISTS (
            SELECT 1 FROM pg_trigger AS t INNER JOIN pg_proc AS p ON p.oid = t.tgfoid
            WHERE t.tgrelid = 'campaigns'::regclass AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
                AND t.tgtype & 19 = 19 AND t.tgname !~ '^zz[yz]_'
                AND concat(p.prosrc, pg_get_triggerdef(t.oid)) ~ '\mupdated_at\M'
        ) THEN
            PERFORM pg_temp.skipped('no trigger of this installation stamps updated_at');
        END IF;
        SELECT updated_at INTO stamp_before FROM campaigns WHERE id = made;
        UPDATE campaigns SET phase_status = 'in_progress' WHERE id = made RETURNING updated_at INTO stamp_after;
        PERFORM pg_temp.expect(
            stamp_after > stamp_before,
            format('updated_at was %s and is %s after a change of phase_status', stamp_before, stamp_after)
        );
    END
    $test$
),
(
    'relations', 'deleting_a_campaign_deletes_its_domains',
    $test$
    DECLARE
        made uuid := pg_temp.test_campaign();
        remaining bigint;
    BEGIN
        IF NOT EXISTS (
            SELECT 1 FROM pg_constraint
            WHERE conrelid = 'generated_domains'::regclass AND confrelid = 'campaigns'::regclass AND contype = 'f'
                AND confdeltype = 'c'
        ) THEN
            PERFORM pg_temp.skipped('no foreign key with ON DELETE CASCADE leads from generated_domains to campaigns');
        END IF;
        PERFORM pg_temp.test_domains(made, 1, 10, '{"dns_status": "ok"}');
        PERFORM pg_temp.fold();
        DELETE FROM campaigns WHERE id = made;
        PERFORM pg_temp.fold();
        SELECT count(*) INTO remaining FROM generated_domains WHERE domain_generation_campaign_id = made;
        PERFORM pg_temp.expect(remaining = 0, format('%s domains survive their campaign', remaining));
        SELECT count(*) INTO remaining FROM campaign_metric_changes WHERE campaign_id = made;
        PERFORM pg_temp.expect(remaining = 0, format('%s differences of metrics survive their campaign', remaining));
    END
    $test$
),
(
    'relations', 'domains_need_a_campaign',
    $test$
    BEGIN
        IF NOT EXISTS (
            SELECT 1 FROM pg_constraint
            WHERE conrelid = 'generated_domains'::regclass AND confrelid = 'campaigns'::regclass AND contype = 'f'
                AND NOT condeferred
        ) THEN
            PERFORM pg_temp.skipped('no foreign key that is checked at once leads from generated_domains to campaigns');
        END IF;
        PERFORM pg_temp.expect_refused(format('SELECT pg_temp.test_domains(%L, 1, 1)', gen_random_uuid()), '23503');
    END
    $test$
),
(
    'queries', 'workflow_query_uses_its_index',
    $test$
    BEGIN
        PERFORM pg_temp.expect_index(
            'SELECT id FROM campaigns WHERE current_phase = ''http_keyword_validation'' AND phase_status = ''in_progress''',
            'idx_campaigns_workflow_primary', 'campaigns'
        );
    END
    $test$
),
(
    'queries', 'phase_transition_query_uses_its_index',
    $test$
    BEGIN
        PERFORM pg_temp.expect_index(
            'SELECT id FROM campaigns WHERE current_phase = ''generation'' ORDER BY updated_at DESC LIMIT 20',
            'idx_campaigns_phase_transitions', 'campaigns'
        );
    END
    $test$
),
(
    'queries', 'user_dashboard_query_uses_its_index',
    $test$
    BEGIN
        PERFORM pg_temp.expect_index(
            format(
                'SELECT id FROM campaigns WHERE user_id = %L AND phase_status = ''in_progress'' ORDER BY updated_at DESC LIMIT 20',
                coalesce((SELECT user_id::text FROM campaigns WHERE user_id IS NOT NULL LIMIT 1), gen_random_uuid()::text)
            ),
            'idx_campaigns_user_dashboard', 'campaigns'
        );
    END
    $test$
),
(
    'queries', 'domain_validation_query_uses_its_index',
    $test$
    BEGIN
        PERFORM pg_temp.expect_index(
            format(
                'SELECT count(*) FROM generated_domains WHERE domain_generation_campaign_id = %L AND dns_status = ''ok'''
                ' AND http_status = ''ok''',
                coalesce((SELECT id FROM campaigns ORDER BY domains, id LIMIT 1), gen_random_uuid())
            ),
            'idx_domains_campaign_validation_primary', 'generated_domains'
        );
    END
    $test$
),
(
    'views', 'campaign_performance_metrics_counts_every_campaign',
    $test$
    DECLARE
        viewed bigint;
        there bigint;
    BEGIN
        SELECT coalesce(sum(v.campaign_count), 0), (SELECT count(*) FROM campaigns) INTO viewed, there
        FROM campaign_performance_metrics AS v;
        PERFORM pg_temp.expect(viewed = there, format('the view counts %s campaigns, there are %s', viewed, there));
    END
    $test$
),
(
    'views', 'phases_index_performance_lists_every_index',
    $test$
    DECLARE
        viewed bigint;
        there bigint;
    BEGIN
        SELECT count(*) INTO viewed FROM phases_index_performance WHERE table_name IN ('campaigns', 'generated_domains');
        SELECT count(*) INTO there FROM pg_index WHERE indrelid IN ('campaigns'::regclass, 'generated_domains'::regclass);
        PERFORM pg_temp.expect(viewed = there, format('the view lists %s indexes, there are %s', viewed, there));
    END
    $test$
),
(
    'views', 'migration_validation_report_answers',
    $test$
    DECLARE
        failed bigint;
        checks bigint;
    BEGIN
        IF to_regclass('migration_validation_report') IS NULL THEN
            PERFORM pg_temp.skipped('validate-migration.sql has not run yet');
        END IF;
        SELECT count(*), count(*) FILTER (WHERE status = 'FAIL') INTO checks, failed FROM migration_validation_report;
        PERFORM pg_temp.passed(format('the latest validation has %s checks, %s failed', checks, failed));
    END
    $test$
),
(
    'views', 'migration_performance_comparison_answers',
    $test$
    DECLARE
        patterns bigint;
    BEGIN
        IF to_regclass('migration_performance_comparison') IS NULL THEN
            PERFORM pg_temp.skipped('performance-benchmark.sql has not run yet');
        END IF;
        SELECT count(*) INTO patterns FROM migration_performance_comparison;
        PERFORM pg_temp.passed(format('%s patterns are compared', patterns));
    END
    $test$
),
(
    'views', 'maintain_phases_indexes_answers',
    $test$
    DECLARE
        found text;
    BEGIN
        SELECT string_agg(format('%s: %s', m.index_name, m.details), '; ')
        INTO found
        FROM maintain_phases_indexes() AS m
        WHERE m.action IN ('missing', 'invalid', 'different');
        IF found IS NOT NULL THEN
            PERFORM pg_temp.warned(found);
        END IF;
    END
    $test$
),
(
    'rollback', 'backups_can_be_read',
    $test$
    DECLARE
        of_migration bigint;
        of_data bigint;
    BEGIN
        SELECT count(*) INTO of_migration FROM campaigns_backup_000035;
        SELECT count(*) INTO of_data FROM campaigns_pre_migration_backup;
        PERFORM pg_temp.passed(format(
            'campaigns_backup_000035 holds %s campaigns, campaigns_pre_migration_backup %s', of_migration, of_data
        ));
    END
    $test$
),
(
    'rollback', 'legacy_values_can_be_found_again',
    $test$
    DECLARE
        lost bigint;
        example text;
    BEGIN
        SELECT count(*), min(c.id::text)
        INTO lost, example
        FROM campaigns AS c
        INNER JOIN campaigns_pre_migration_backup AS b ON b.id = c.id
        LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id
        WHERE v.campaign_id IS NULL;
        PERFORM pg_temp.expect(lost = 0, format('the legacy values of %s campaigns are gone, such as %s', lost, example));
        PERFORM pg_temp.expect(
            NOT EXISTS (
                SELECT 1 FROM campaigns
                WHERE migration_map_campaign_type(current_phase::text) IS NULL OR migration_map_status(phase_status::text) IS NULL
            ),
            'some phases or statuses have no way back'
        );
    END
    $test$
);

INSERT INTO pg_temp.migration_tests (suite, name, skip_reason)
VALUES
('metrics', 'metrics_follow_copy', 'plain SQL cannot send COPY data; COPY fires the same triggers as INSERT'),
('metrics', 'metrics_follow_truncate', 'TRUNCATE would lock generated_domains against everybody until the end of the test'),
('concurrency', 'concurrent_writers_lose_nothing', 'one session cannot write concurrently; needs several'),
('concurrency', 'writers_never_deadlock', 'one session cannot deadlock; needs several');

DO $run$
DECLARE
    run CONSTANT uuid := coalesce(nullif(current_setting('migration.run_id', true), '')::uuid, gen_random_uuid());
    run_started CONSTANT timestamptz := clock_timestamp();
    migrated CONSTANT boolean := NOT EXISTS (
        SELECT 1 FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass(format('%I.campaigns', current_schema())) AND NOT attisdropped
            AND attname IN ('campaign_type', 'status', 'launch_sequence')
    );
    started timestamptz;
    test record;
    verdict text;
    explanation text;
BEGIN
    PERFORM set_config('migration.tested_run', run::text || ' ' || run_started::text, false);
    PERFORM set_config('row_security', 'off', true);
    FOR test IN SELECT * FROM pg_temp.migration_tests ORDER BY ordinal LOOP
        RAISE DEBUG '% of %', test.ordinal, (SELECT count(*) FROM pg_temp.migration_tests);
        started := clock_timestamp();
        IF NOT migrated AND test.name <> 'legacy_columns_are_gone' THEN
            verdict := 'SKIPPED';
            explanation := 'campaigns still has legacy columns; run the migrations first';
        ELSIF test.skip_reason IS NOT NULL THEN
            verdict := 'SKIPPED';
            explanation := test.skip_reason;
        ELSE
            BEGIN
                EXECUTE format('DO %L', test.body);
                PERFORM pg_temp.passed('');
            EXCEPTION
                WHEN SQLSTATE 'MT004' THEN
                    verdict := 'PASS';
                    explanation := SQLERRM;
                WHEN SQLSTATE 'MT001' THEN
                    verdict := 'FAIL';
                    explanation := SQLERRM;
                WHEN SQLSTATE 'MT002' THEN
                    verdict := 'WARN';
                    explanation := SQLERRM;
                WHEN SQLSTATE 'MT003' THEN
                    verdict := 'SKIPPED';
                    explanation := SQLERRM;
                -- Nothing of ours raises an error without a code of its own.
                WHEN raise_exception THEN
                    verdict := 'SKIPPED';
                    explanation := 'a rule of the application''s own refuses what this test writes: ' || SQLERRM;
                WHEN OTHERS THEN
                    verdict := 'FAIL';
                    explanation := format('could not finish (%s): %s', SQLSTATE, SQLERRM);
            END;
        END IF;
        INSERT INTO migration_integration_results (
            run_id, test_run_timestamp, test_suite, test_name, status, execution_time_ms, details
        )
        VALUES (
            run, run_started, test.suite, test.name, verdict, extract(EPOCH FROM clock_timestamp() - started) * 1000, explanation
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
    tests bigint;
    failed bigint;
BEGIN
    SELECT
        count(*),
        count(*) FILTER (WHERE status = 'FAIL'),
        string_agg(test_name, ', ' ORDER BY id) FILTER (WHERE status = 'FAIL')
    INTO tests, failed, failures
    FROM migration_integration_results
    WHERE format('%s %s', run_id, test_run_timestamp) = current_setting('migration.tested_run');
    SELECT string_agg(format('%s %s', counted.how_many, counted.status), ', ' ORDER BY counted.status) INTO tally
    FROM (
        SELECT status, count(*) AS how_many FROM migration_integration_results
        WHERE format('%s %s', run_id, test_run_timestamp) = current_setting('migration.tested_run')
        GROUP BY status
    ) AS counted;
    IF tests = 0 THEN
        RAISE EXCEPTION 'no test was recorded';
    ELSIF failed > 0 THEN
        RAISE EXCEPTION 'integration test failed: % of % tests: %', failed, tests, failures
            USING HINT = 'SELECT * FROM migration_integration_test_report shows what happened.';
    END IF;
    RAISE NOTICE 'integration test passed: %', tally;
END
$verdict$;
