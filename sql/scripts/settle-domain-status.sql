-- Settles two truths about a domain's status: where dns_validation_results and http_keyword_results are kept beside the
-- domain's own dns_status and http_status, a status that is missing comes from the newest result, and a contradiction is
-- settled as migration.domain_status says: newest (the default), domain or result. After migrate-campaign-data.sql, so that
-- the metrics follow. Every change is listed in migration_domain_status_changes; 000035 down takes it back. The two tables
-- are only read. Without them nothing happens; running it again settles what has come up since.

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

-- block: domain_status
-- The tables of results that are there: how a result finds its domain, by the catalog, and the statements that read them. One
-- row for each table; `problem` says why it cannot be read. A result belongs to the domain that it references; else to that
-- of the DNS result which it references; else to the one of its campaign with its name.
-- Domain statuses of results: resolved and success are ok; unresolved, failed and error are error; timeout is timeout. A
-- pending result has no answer yet. The body runs as a query by itself, too.
CREATE OR REPLACE FUNCTION migration_status_results()
RETURNS TABLE (
    kind text, table_name text, column_name text, problem text, unknown_statement text, strays_statement text,
    comparison_statement text, census_statement text
)
LANGUAGE sql STABLE AS $results$
WITH home AS (
    SELECT to_regclass(format('%I.campaigns', current_schema()))::oid AS campaigns,
        to_regclass(format('%I.generated_domains', current_schema()))::oid AS domains,
        format('%I.generated_domains', current_schema()) AS domains_name
),
wanted (kind, table_name, column_name, good, bad) AS (
    VALUES ('dns', 'dns_validation_results', 'dns_status', 'resolved', 'unresolved'),
        ('http', 'http_keyword_results', 'http_status', 'success', 'failed')
),
-- In the schema of the domains; else wherever a table of this name references our tables.
found AS (
    SELECT DISTINCT ON (w.kind) w.*, c.oid, c.relkind, n.oid AS namespace, format('%I.%I', n.nspname, c.relname) AS full_name,
        count(*) OVER (PARTITION BY w.kind, n.nspname = current_schema()) AS namesakes
    FROM wanted AS w
    CROSS JOIN home AS h
    JOIN pg_class AS c ON c.relname = w.table_name AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE h.domains IS NOT NULL
        AND (n.nspname = current_schema() OR EXISTS (
            SELECT FROM pg_constraint AS k
            WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid IN (h.campaigns, h.domains)))
    ORDER BY w.kind, n.nspname = current_schema() DESC, n.nspname
),
candidates AS (
    SELECT f.kind, r.role, a.attname::text AS name, a.attnotnull AS is_filled,
        rank() OVER (PARTITION BY f.kind, r.role ORDER BY r.place) AS place
    FROM found AS f
    CROSS JOIN home AS h
    JOIN pg_attribute AS a ON a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(k.confrelid = h.domains), false) AS to_domains,
            coalesce(bool_or(k.confrelid = h.campaigns), false) AS to_campaigns,
            coalesce(bool_or(k.confrelid IN (SELECT d.oid FROM found AS d WHERE d.kind = 'dns')), false) AS to_dns
        FROM pg_constraint AS k
        CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u (own, other)
        JOIN pg_attribute AS o ON o.attrelid = k.confrelid AND o.attnum = u.other AND o.attname = 'id'
        WHERE k.conrelid = f.oid AND k.contype = 'f' AND u.own = a.attnum
    ) AS refers
    CROSS JOIN LATERAL (
        VALUES
            ('domain', CASE
                WHEN refers.to_domains AND a.attname IN ('generated_domain_id', 'domain_id') THEN 1
                WHEN refers.to_domains THEN 2
                WHEN a.atttypid = 'uuid'::regtype AND a.attname = 'generated_domain_id' THEN 3
                WHEN a.atttypid = 'uuid'::regtype AND a.attname = 'domain_id' THEN 4
            END),
            ('campaign', CASE
                WHEN a.atttypid = 'uuid'::regtype AND a.attname = 'domain_generation_campaign_id' THEN 1
                WHEN refers.to_campaigns AND a.attname = 'campaign_id' THEN 2
                WHEN refers.to_campaigns AND starts_with(a.attname::text, f.kind) THEN 3
                WHEN refers.to_campaigns THEN 4
                WHEN a.atttypid = 'uuid'::regtype AND a.attname = 'campaign_id' THEN 5
                WHEN a.atttypid = 'uuid'::regtype AND a.attname LIKE '%campaign\_id' THEN 6
            END),
            ('name', CASE WHEN t.typcategory = 'S' AND a.attname = 'domain_name' THEN 1
                          WHEN t.typcategory = 'S' AND a.attname = 'domain' THEN 2 END),
            ('status', CASE WHEN t.typcategory IN ('S', 'E') AND a.attname = 'validation_status' THEN 1 END),
            ('time', CASE WHEN a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
                               AND a.attname = 'last_checked_at' THEN 1 END),
            ('link', CASE WHEN f.kind = 'http' AND refers.to_dns THEN 1 END)
    ) AS r (role, place)
    WHERE r.place IS NOT NULL
),
-- Two columns with an equal claim are none: nothing is guessed.
roles AS (
    SELECT c.kind, c.role, CASE WHEN count(*) = 1 THEN min(c.name) END AS name, string_agg(c.name, ', ' ORDER BY c.name) AS names,
        bool_and(c.is_filled) AS is_filled
    FROM candidates AS c WHERE c.place = 1 GROUP BY c.kind, c.role
),
shaped AS (
    SELECT f.*,
        max(r.name) FILTER (WHERE r.role = 'domain') AS domain_column,
        coalesce(bool_or(r.is_filled) FILTER (WHERE r.role = 'domain' AND r.name IS NOT NULL), false) AS domain_is_filled,
        max(r.name) FILTER (WHERE r.role = 'campaign') AS campaign_column,
        max(r.name) FILTER (WHERE r.role = 'name') AS name_column,
        max(r.name) FILTER (WHERE r.role = 'status') AS status_column,
        max(r.name) FILTER (WHERE r.role = 'time') AS time_column,
        max(r.name) FILTER (WHERE r.role = 'link') AS link_column,
        string_agg(r.names, ', ' ORDER BY r.names) FILTER (WHERE r.name IS NULL) AS rivals,
        (
            SELECT string_agg(format('r.%I::text', a.attname), ' || '','' || ' ORDER BY a.attnum)
            FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
            WHERE i.indrelid = f.oid AND i.indisprimary
        ) AS key
    FROM found AS f LEFT JOIN roles AS r ON r.kind = f.kind
    GROUP BY f.kind, f.table_name, f.column_name, f.good, f.bad, f.oid, f.relkind, f.namespace, f.full_name, f.namesakes
),
judged AS (
    SELECT s.*, s.campaign_column IS NOT NULL AND s.name_column IS NOT NULL AS has_pair,
        CASE WHEN NOT s.domain_is_filled AND s.link_column IS NOT NULL THEN d.domain_column END AS linked_column,
        d.full_name AS linked_table,
        nullif(concat_ws('; ',
            CASE WHEN s.namesakes > 1 THEN format('%s tables of this name reference the campaign tables', s.namesakes) END,
            CASE WHEN NOT has_schema_privilege(s.namespace, 'USAGE') OR NOT has_table_privilege(s.oid, 'SELECT')
                      OR row_security_active(s.oid)
                THEN 'this role may not read all of it' END,
            CASE WHEN s.status_column IS NULL THEN 'it has no column validation_status (text or enum)' END,
            CASE WHEN s.time_column IS NULL THEN 'it has no column last_checked_at (timestamptz)' END,
            CASE WHEN s.domain_column IS NULL AND (s.campaign_column IS NULL OR s.name_column IS NULL)
                THEN 'it says by no column that references generated_domains, nor by a campaign and a domain_name, which domain'
                     ' is meant' || coalesce(format(' (equal claims: %s)', s.rivals), '') END
        ), '') AS problem
    FROM shaped AS s LEFT JOIN shaped AS d ON d.kind = 'dns'
),
-- Every result with its answer and its domain, in up to three parts: those that reference a domain, those that reference a
-- DNS result, and the others. One outer join over all would hash NULL keys by the million into one bucket.
composed AS (
    SELECT j.*,
        concat_ws(' UNION ALL ',
            'SELECT r.' || quote_ident(j.domain_column) || said.answer
                || CASE WHEN j.domain_is_filled THEN '' ELSE ' WHERE r.' || quote_ident(j.domain_column) || ' IS NOT NULL' END,
            'SELECT ' || CASE WHEN j.has_pair THEN 'coalesce(u.' || quote_ident(j.linked_column) || ', m.id)'
                              ELSE 'u.' || quote_ident(j.linked_column) END || said.answer
                || CASE WHEN j.linked_column IS NOT NULL
                        THEN format(' LEFT JOIN %s AS u ON u.id = r.%I', j.linked_table, j.link_column) END
                || said.pair || CASE WHEN j.has_pair THEN ' AND u.' || quote_ident(j.linked_column) || ' IS NULL' ELSE '' END
                || ' WHERE r.' || quote_ident(j.link_column) || ' IS NOT NULL'
                || coalesce(' AND r.' || quote_ident(j.domain_column) || ' IS NULL', ''),
            CASE WHEN NOT j.domain_is_filled THEN
                'SELECT ' || CASE WHEN j.has_pair THEN 'm.id' ELSE 'NULL::uuid' END || said.answer || said.pair || ' WHERE true'
                || coalesce(' AND r.' || quote_ident(j.domain_column) || ' IS NULL', '')
                || CASE WHEN j.linked_column IS NOT NULL THEN format(' AND r.%I IS NULL', j.link_column) ELSE '' END
            END
        ) AS results,
        CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = h.domains AND attname = 'last_validated_at'
                          AND NOT attisdropped)
            THEN 'g.last_validated_at' ELSE 'NULL::timestamptz' END AS validated,
        h.domains_name
    FROM judged AS j
    CROSS JOIN home AS h
    CROSS JOIN LATERAL (
        SELECT format(' AS domain_id, CASE r.%I::text WHEN %L THEN ''ok'' WHEN %L THEN ''error'' WHEN ''error'' THEN ''error'''
                      ' WHEN ''timeout'' THEN ''timeout'' END AS answer, r.%I AS checked_at FROM %s AS r',
                      j.status_column, j.good, j.bad, j.time_column, j.full_name) AS answer,
            CASE WHEN j.has_pair
                THEN format(' LEFT JOIN %s AS m ON m.domain_generation_campaign_id = r.%I AND m.domain_name = r.%I',
                            h.domains_name, j.campaign_column, j.name_column)
                ELSE '' END AS pair
    ) AS said
    WHERE j.problem IS NULL
),
compared AS (
    SELECT c.*,
        -- Joined first and sorted then: of the other order the planner expects a handful of rows, and looks up each.
        format(
            'SELECT n.*, CASE WHEN n.found IS NULL THEN ''missing'' WHEN n.found = n.answer THEN ''agrees'''
            ' WHEN coalesce(n.checked_at > n.validated_at, n.checked_at IS NOT NULL) THEN ''result newer'''
            ' WHEN n.found = ''pending'' THEN ''waits'' ELSE ''domain newer'' END AS verdict'
            ' FROM (SELECT DISTINCT ON (g.id) g.id AS domain_id, g.domain_generation_campaign_id AS campaign_id,'
            ' g.%1$I::text AS found, r.answer, r.checked_at, %2$s AS validated_at'
            ' FROM (%4$s) AS r JOIN %3$s AS g ON g.id = r.domain_id WHERE r.answer IS NOT NULL'
            ' ORDER BY g.id, r.checked_at DESC NULLS LAST, r.answer = ''ok'' DESC, r.answer) AS n',
            c.column_name, c.validated, c.domains_name, c.results) AS comparison,
        format('SELECT u.value, count(*) AS results, array_agg(u.key ORDER BY u.place) FILTER (WHERE u.place <= 20) AS keys'
               ' FROM (SELECT r.%1$I::text AS value, %2$s AS key, row_number() OVER (ORDER BY r.%1$I::text, %2$s) AS place'
               ' FROM %3$s AS r WHERE (r.%1$I::text = ANY (ARRAY[%4$L, %5$L, ''timeout'', ''error'', ''pending''])) IS NOT TRUE'
               ') AS u GROUP BY u.value ORDER BY u.value',
               c.status_column, coalesce(c.key, CASE WHEN c.relkind IN ('v', 'f') THEN 'NULL::text' ELSE 'r.ctid::text' END),
               c.full_name, c.good, c.bad) AS unknown,
        format('SELECT count(*) AS results, count(*) FILTER (WHERE r.domain_id IS NULL) AS strays,'
               ' count(*) FILTER (WHERE r.answer IS NULL) AS unanswered FROM (%s) AS r', c.results) AS strays
    FROM composed AS c
)
SELECT j.kind, j.full_name AS table_name, j.column_name, j.problem, c.unknown AS unknown_statement,
    c.strays AS strays_statement, c.comparison AS comparison_statement,
    'SELECT verdict, answer, count(*) AS domains FROM (' || c.comparison || ') AS compared GROUP BY verdict, answer'
        AS census_statement
FROM judged AS j LEFT JOIN compared AS c ON c.kind = j.kind
ORDER BY j.kind
$results$;

-- Which statuses to write, found in one pass over each table of results: the list that the batches work off. Returns how many
-- domains agree with their newest result, lack a status, contradict it (the result being newer, or the domain), or wait:
-- a pending status that is newer than the result is no contradiction, somebody wants it checked again.
CREATE OR REPLACE FUNCTION migration_status_plan(prefer text)
RETURNS TABLE (table_name text, column_name text, verdict text, domains bigint)
LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    results record;
    unknown text;
    settled text[];
BEGIN
    settled := CASE prefer
        WHEN 'newest' THEN ARRAY['missing', 'result newer']
        WHEN 'domain' THEN ARRAY['missing']
        WHEN 'result' THEN ARRAY['missing', 'result newer', 'domain newer']
    END;
    IF settled IS NULL THEN
        RAISE EXCEPTION 'migration.domain_status is %, not newest, domain or result', prefer
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT string_agg(c.oid::regclass::text, ', ') INTO unknown
    FROM pg_class AS c
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
      AND c.relname IN ('migration_domain_status_plan', 'migration_domain_status_changes')
      AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %';
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'names that this migration needs are taken: %', unknown
            USING ERRCODE = 'duplicate_table', HINT = 'Rename them; no status has been changed.';
    END IF;

    DROP TABLE IF EXISTS migration_domain_status_plan;
    CREATE UNLOGGED TABLE migration_domain_status_plan (
        domain_id uuid NOT NULL,
        kind text NOT NULL,
        campaign_id uuid NOT NULL,
        found text,
        answer text NOT NULL,
        reason text NOT NULL,
        checked_at timestamptz,
        PRIMARY KEY (domain_id, kind)
    );
    COMMENT ON TABLE migration_domain_status_plan IS 'phases migration: domain statuses that are still to be written';
    REVOKE ALL ON TABLE migration_domain_status_plan FROM PUBLIC;
    CREATE TABLE IF NOT EXISTS migration_domain_status_changes (
        domain_id uuid PRIMARY KEY,
        old_dns_status text,
        new_dns_status text,
        dns_reason text CHECK (dns_reason IN ('missing', 'contradiction')),
        dns_checked_at timestamptz,
        old_http_status text,
        new_http_status text,
        http_reason text CHECK (http_reason IN ('missing', 'contradiction')),
        http_checked_at timestamptz,
        changed_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE migration_domain_status_changes IS
        'phases migration: domain statuses taken from the newest result, with what stood there before (reason NULL: untouched)';
    REVOKE ALL ON TABLE migration_domain_status_changes FROM PUBLIC;

    FOR results IN SELECT r.*, row_number() OVER () AS place, count(*) OVER () AS places FROM migration_status_results() AS r LOOP
        IF results.problem IS NOT NULL THEN
            RAISE EXCEPTION '% cannot be compared with generated_domains.%: %', results.table_name, results.column_name,
                results.problem USING ERRCODE = 'datatype_mismatch', HINT = 'No status has been changed.';
        END IF;
        EXECUTE format('SELECT string_agg(format(''%%s (%%s)'', quote_nullable(u.value), u.keys[1]), '', '') FROM (%s) AS u',
                       results.unknown_statement) INTO unknown;
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION '%.validation_status has values that stand for no status, with the key of one each: %',
                results.table_name, unknown
                USING ERRCODE = 'check_violation', HINT = 'Correct these rows; no status has been changed.';
        END IF;
        RETURN QUERY EXECUTE format(
            'WITH compared AS MATERIALIZED (%s), planned AS ('
            ' INSERT INTO migration_domain_status_plan (domain_id, kind, campaign_id, found, answer, reason, checked_at)'
            ' SELECT domain_id, %L, campaign_id, found, answer,'
            ' CASE verdict WHEN ''missing'' THEN ''missing'' ELSE ''contradiction'' END, checked_at'
            ' FROM compared WHERE verdict = ANY ($1))'
            ' SELECT %L::text, %L::text, verdict, count(*) FROM compared GROUP BY verdict',
            results.comparison_statement, results.kind, results.table_name, results.column_name) USING settled;
        RAISE DEBUG '% of %', results.place, results.places;
    END LOOP;
    -- A campaign's domains together: then a batch folds its differences into few campaigns.
    CREATE INDEX migration_domain_status_order ON migration_domain_status_plan (campaign_id, domain_id);
    ANALYZE migration_domain_status_plan;
END
$function$;

-- Write the planned statuses of some domains, which the caller has locked, and record each with what stood there. A status
-- that somebody has changed since it was planned stays. A column that is changed again keeps the first old value, as long as
-- nobody else has written it in between.
CREATE OR REPLACE FUNCTION migration_status_apply(domain_ids uuid[])
RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    dns_type text;
    http_type text;
    changed bigint;
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
            SELECT p.domain_id, g.dns_status::text AS old_dns, g.http_status::text AS old_http,
                max(p.answer) FILTER (WHERE p.kind = 'dns') AS dns, max(p.reason) FILTER (WHERE p.kind = 'dns') AS dns_reason,
                max(p.checked_at) FILTER (WHERE p.kind = 'dns') AS dns_time,
                max(p.answer) FILTER (WHERE p.kind = 'http') AS http, max(p.reason) FILTER (WHERE p.kind = 'http') AS http_reason,
                max(p.checked_at) FILTER (WHERE p.kind = 'http') AS http_time
            FROM migration_domain_status_plan AS p
            JOIN generated_domains AS g ON g.id = p.domain_id
                AND p.found IS NOT DISTINCT FROM CASE p.kind WHEN 'dns' THEN g.dns_status::text ELSE g.http_status::text END
            WHERE p.domain_id = ANY ($1)
            GROUP BY p.domain_id, g.dns_status, g.http_status
        ), written AS (
            UPDATE generated_domains AS g
            SET dns_status = coalesce(w.dns::%1$s, g.dns_status), http_status = coalesce(w.http::%2$s, g.http_status)
            FROM wanted AS w WHERE g.id = w.domain_id
            RETURNING w.*, g.dns_status::text AS new_dns, g.http_status::text AS new_http
        ), recorded AS (
            INSERT INTO migration_domain_status_changes AS c (
                domain_id, old_dns_status, new_dns_status, dns_reason, dns_checked_at,
                old_http_status, new_http_status, http_reason, http_checked_at)
            SELECT domain_id,
                CASE WHEN dns IS NOT NULL THEN old_dns END, CASE WHEN dns IS NOT NULL THEN new_dns END, dns_reason, dns_time,
                CASE WHEN http IS NOT NULL THEN old_http END, CASE WHEN http IS NOT NULL THEN new_http END, http_reason, http_time
            FROM written
            ON CONFLICT (domain_id) DO UPDATE SET
                old_dns_status = CASE WHEN excluded.dns_reason IS NULL OR c.new_dns_status = excluded.old_dns_status
                    THEN c.old_dns_status ELSE excluded.old_dns_status END,
                dns_reason = CASE WHEN excluded.dns_reason IS NULL OR c.new_dns_status = excluded.old_dns_status
                    THEN c.dns_reason ELSE excluded.dns_reason END,
                new_dns_status = coalesce(excluded.new_dns_status, c.new_dns_status),
                dns_checked_at = coalesce(excluded.dns_checked_at, c.dns_checked_at),
                old_http_status = CASE WHEN excluded.http_reason IS NULL OR c.new_http_status = excluded.old_http_status
                    THEN c.old_http_status ELSE excluded.old_http_status END,
                http_reason = CASE WHEN excluded.http_reason IS NULL OR c.new_http_status = excluded.old_http_status
                    THEN c.http_reason ELSE excluded.http_reason END,
                new_http_status = coalesce(excluded.new_http_status, c.new_http_status),
                http_checked_at = coalesce(excluded.http_checked_at, c.http_checked_at),
                changed_at = excluded.changed_at
        )
        SELECT count(dns) + count(http) FROM written
        $update$, dns_type, http_type) INTO changed USING domain_ids;
    PERFORM set_config('migration.settling', 'off', true);
    DELETE FROM migration_domain_status_plan WHERE domain_id = ANY (domain_ids);
    RETURN changed;
END
$function$;

-- What these functions find, they find in this schema; and nobody else is given the right to call them.
DO $block$
DECLARE
    helper regprocedure;
BEGIN
    FOR helper IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace AND proname LIKE 'migration\_status\_%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', helper, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', helper);
    END LOOP;
END
$block$;
-- end block: domain_status

-- By hand, in one go.
DO $block$
DECLARE
    prefer text := coalesce(nullif(current_setting('migration.domain_status', true), ''), 'newest');
    count record;
    batch uuid[];
    changed bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM migration_status_results()) THEN
        RAISE NOTICE 'there are no tables of validation results, nothing to settle';
        RETURN;
    END IF;
    IF to_regclass(format('%I.migration_saved_objects', current_schema())) IS NULL THEN
        RAISE EXCEPTION 'the metrics of the campaigns are not kept yet' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Run migrate-campaign-data.sql first; no status has been changed.';
    END IF;
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '900ms', true);
    END IF;
    FOR count IN SELECT * FROM migration_status_plan(prefer) ORDER BY 1, 3 LOOP
        RAISE NOTICE '% and generated_domains.%: % domain(s): %', count.table_name, count.column_name, count.domains,
            count.verdict;
    END LOOP;
    IF EXISTS (SELECT FROM migration_domain_status_plan) THEN
        PERFORM migration_status_keep_rows();
    END IF;
    LOOP
        SELECT array_agg(locked.id) INTO batch
        FROM (
            SELECT g.id FROM migration_domain_status_plan AS p JOIN generated_domains AS g ON g.id = p.domain_id
            ORDER BY p.campaign_id, p.domain_id LIMIT 5000 FOR NO KEY UPDATE OF g
        ) AS locked;
        EXIT WHEN batch IS NULL;
        changed := changed + migration_status_apply(batch);
    END LOOP;
    RAISE NOTICE '% domain status(es) taken from the newest result, listed in migration_domain_status_changes', changed;
    SET CONSTRAINTS ALL IMMEDIATE;
    DROP TRIGGER IF EXISTS zzz_migration_keep_domain ON generated_domains;
END
$block$;

-- block: domain_status_end
-- The list of changes stays; what made them goes.
DO $block$
DECLARE
    helper regprocedure;
BEGIN
    IF obj_description(to_regclass(format('%I.migration_domain_status_plan', current_schema())), 'pg_class')
        LIKE 'phases migration: %' THEN
        DROP TABLE migration_domain_status_plan;
    END IF;
    FOR helper IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace AND proname LIKE 'migration\_status\_%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', helper);
    END LOOP;
END
$block$;
-- end block: domain_status_end

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
