-- What a production database has gathered around the campaign tables: further schemas and relations by the hundred, tables that refer to
-- campaigns and domains, names that collide with this migration's, duplicates, publications, functions of every kind. After
-- plant_readers.sql. The publications' warning, that this server publishes nothing yet, is not wanted.
SET client_min_messages = error;

-- A dozen further tables that refer to campaigns or domains, in schemas of their own, some with the same name or twice the same key.
DO $$
DECLARE
    refers record;
    campaigns_table text := format('%I.campaigns', current_schema());
    domains_table text := format('%I.generated_domains', current_schema());
BEGIN
    CREATE SCHEMA billing;
    CREATE SCHEMA "Reporting Data";
    CREATE SCHEMA archive;
    FOR refers IN
        SELECT * FROM (VALUES
            ('billing', 'invoices', false, 'RESTRICT', 3), ('billing', 'usage_lines', true, 'CASCADE', 40),
            ('billing', 'campaigns', false, 'CASCADE', 1), ('billing', 'credits', false, 'SET NULL', 5),
            ('Reporting Data', 'daily figures', false, 'CASCADE', 1), ('Reporting Data', 'domain notes', true, 'CASCADE', 60),
            ('Reporting Data', 'exports "by hand"', false, 'SET NULL', 7), ('archive', 'removed_campaigns', false, 'NO ACTION', 11),
            ('archive', 'screenshots', true, 'SET NULL', 90), ('archive', 'whois', true, 'CASCADE', 80),
            ('archive', 'notifications', false, 'CASCADE', 2), ('archive', 'labels', false, 'CASCADE', 2)
        ) AS r (schema_name, table_name, of_domains, action, every)
    LOOP
        EXECUTE format(
            'CREATE TABLE %1$I.%2$I (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,'
            ' %3$s uuid REFERENCES %4$s (id) ON DELETE %5$s, status text NOT NULL DEFAULT ''open'', noted_at timestamptz DEFAULT now(),'
            ' amount numeric(12, 2) CHECK (amount >= 0))',
            refers.schema_name, refers.table_name, CASE WHEN refers.of_domains THEN 'domain_id' ELSE 'campaign_id' END,
            CASE WHEN refers.of_domains THEN domains_table ELSE campaigns_table END, refers.action);
        EXECUTE format(
            'INSERT INTO %I.%I (%s, amount) SELECT id, ordinal FROM (SELECT id, row_number() OVER (ORDER BY id) AS ordinal FROM %s) AS s'
            ' WHERE ordinal %% %s = 0 LIMIT 5000',
            refers.schema_name, refers.table_name, CASE WHEN refers.of_domains THEN 'domain_id' ELSE 'campaign_id' END,
            CASE WHEN refers.of_domains THEN domains_table ELSE campaigns_table END, refers.every);
        EXECUTE format('CREATE INDEX ON %I.%I (status)', refers.schema_name, refers.table_name);
    END LOOP;
    -- The years' reports, each a table with a key and a view: the catalog of a production copy holds over 480 relations.
    FOR refers IN SELECT to_char(m, 'YYYY_MM') AS month FROM generate_series('2016-01-01'::date, '2025-12-01', interval '1 month') AS m LOOP
        EXECUTE format('CREATE TABLE archive.report_%1$s (id integer PRIMARY KEY, campaign_type text, status text);'
                       'CREATE VIEW archive.report_%1$s_open AS SELECT id, campaign_type FROM archive.report_%1$s WHERE status <> ''closed''',
                       refers.month);
    END LOOP;
END
$$;
ALTER TABLE billing.invoices ADD CONSTRAINT invoices_campaign_again FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE RESTRICT;
GRANT USAGE ON SCHEMA billing, "Reporting Data" TO campaign_reader;

-- Views of other schemas, on views and on materialized views that read one another.
CREATE VIEW "Reporting Data"."running by user" AS
SELECT r.user_id AS "user", r.campaigns, u.email FROM running_campaign_counts AS r JOIN users AS u ON u.id = r.user_id;
CREATE MATERIALIZED VIEW campaign_statistics_by_type AS
SELECT campaign_type, sum(campaigns) AS campaigns FROM campaign_statistics GROUP BY campaign_type;
CREATE UNIQUE INDEX campaign_statistics_by_type_key ON campaign_statistics_by_type (campaign_type);
CREATE VIEW "Reporting Data"."invoices of running campaigns" AS
WITH campaigns AS (SELECT c.id, c.name, c.status FROM campaigns AS c WHERE c.status = 'running')
SELECT i.id, c.name, c.status, i.amount, sum(i.amount) OVER (PARTITION BY c.id ORDER BY i.id) AS running_total
FROM campaigns AS c CROSS JOIN LATERAL (SELECT * FROM billing.invoices AS i WHERE i.campaign_id = c.id) AS i;
CREATE VIEW "Reporting Data"."campaigns with their jobs" AS
SELECT c.id, c.name, c.campaign_type, upper(c.status) AS state, count(j.id) AS jobs, max(j.last_attempted_at) AS last_attempted_at
FROM campaigns AS c LEFT JOIN campaign_jobs AS j ON j.campaign_id = c.id
GROUP BY c.id HAVING c.status <> 'archived' ORDER BY c.updated_at DESC;
CREATE VIEW "Reporting Data"."places of campaigns" ("campaign", about, label, place) AS
WITH RECURSIVE steps AS (SELECT 1 AS step UNION ALL SELECT step + 1 FROM steps WHERE step < 3)
SELECT c.id, 'status', c.status, rank() OVER (PARTITION BY c.status ORDER BY c.created_at, c.id) FROM campaigns AS c
UNION ALL
SELECT c.id, 'type', c.campaign_type, rank() OVER w FROM campaigns AS c
WINDOW w AS (PARTITION BY c.campaign_type ORDER BY c.created_at, c.id)
EXCEPT
SELECT c.id, 'type', c.campaign_type, s.step FROM steps AS s CROSS JOIN campaigns AS c WHERE c.launch_sequence;
GRANT SELECT ("user", campaigns) ON "Reporting Data"."running by user" TO campaign_reader;
CREATE VIEW editable_campaigns AS SELECT id, name, status, updated_at FROM campaigns;
CREATE FUNCTION rename_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE campaigns SET name = NEW.name WHERE id = OLD.id;
    RETURN NEW;
END
$$;
CREATE TRIGGER rename_campaign INSTEAD OF UPDATE ON editable_campaigns FOR EACH ROW EXECUTE FUNCTION rename_campaign();

-- Functions that know the legacy columns by name, by whole rows or not at all.
CREATE FUNCTION campaign_label(c campaigns) RETURNS text LANGUAGE sql STABLE AS $$ SELECT c.name || ' (' || c.status || ')' $$;
CREATE FUNCTION stale_campaigns(days integer) RETURNS SETOF campaigns LANGUAGE sql STABLE AS $$
    SELECT * FROM campaigns WHERE updated_at < now() - make_interval(days => days)
$$;
CREATE FUNCTION pause_campaign(campaign uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE campaigns SET status = 'pausing'
    WHERE id = campaign AND status = 'running';
    RETURN FOUND;
END
$$;
CREATE PROCEDURE note_open_campaigns(kind text) LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO campaign_events (campaign_id, event_type)
    SELECT id, 'still ' || status FROM campaigns WHERE campaign_type = kind AND status = 'paused';
END;

-- Triggers: one that is switched off, one at the end of the transaction.
CREATE TRIGGER status_changed_formerly AFTER UPDATE OF status, campaign_type ON campaigns
FOR EACH ROW EXECUTE FUNCTION note_status_change();
ALTER TABLE campaigns DISABLE TRIGGER status_changed_formerly;
CREATE CONSTRAINT TRIGGER status_settled AFTER UPDATE OF status ON campaigns DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.status IN ('completed', 'archived')) EXECUTE FUNCTION note_status_change();
COMMENT ON TRIGGER status_settled ON campaigns IS 'tells listeners of ends only';

-- Columns, checks and settings of all kinds; the types that are allowed stand in a table.
CREATE TABLE campaign_types (name text PRIMARY KEY, title text NOT NULL);
INSERT INTO campaign_types
SELECT name, initcap(replace(name, '_', ' '))
FROM unnest(ARRAY['domain_generation', 'dns_validation', 'http_keyword_validation', 'analysis', 'comprehensive', 'automated']) AS t (name);
ALTER TABLE campaigns
    ADD CONSTRAINT "campaign type is known" FOREIGN KEY (campaign_type) REFERENCES campaign_types (name),
    ADD CONSTRAINT "status is said" CHECK (status <> '') NOT VALID,
    ADD CONSTRAINT campaigns_progress_check CHECK (progress_percentage <= 100.5),
    ADD COLUMN search_name text GENERATED ALWAYS AS (lower(name)) STORED;
CREATE INDEX idx_campaigns_open_by_name ON campaigns (search_name text_pattern_ops) WHERE status NOT IN ('completed', 'archived');
CREATE INDEX idx_campaigns_upper_status ON campaigns (upper(status), (metadata ->> 'owner'));
CREATE INDEX idx_campaigns_updated_again ON campaigns (updated_at);
COMMENT ON CONSTRAINT "campaign type is known" ON campaigns IS 'six, since the comprehensive campaigns came';

ALTER TABLE campaign_shares ENABLE ROW LEVEL SECURITY;
CREATE POLICY shares_of_open_campaigns ON campaign_shares TO campaign_app
USING (campaign_id IN (SELECT c.id FROM campaigns AS c WHERE c.campaign_type <> 'automated' OR c.status = 'running'));

-- What this server or this role may not have: column lists of publications, foreign tables, event triggers.
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 150000 THEN
        EXECUTE 'CREATE PUBLICATION campaign_feed FOR TABLE campaigns (id, name, campaign_type, status, updated_at) WHERE (id IS NOT NULL),'
                ' generated_domains';
    END IF;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw') THEN
            CREATE EXTENSION postgres_fdw SCHEMA archive;
            CREATE SERVER old_system FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '192.0.2.1', dbname 'old');
            CREATE FOREIGN TABLE archive.old_campaigns (id uuid, campaign_type text, status text) SERVER old_system
                OPTIONS (table_name 'campaigns');
        END IF;
        CREATE FUNCTION archive.tell_schema_watchers() RETURNS event_trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_notify(''schema_changes'', tg_tag); END';
        CREATE EVENT TRIGGER tell_schema_watchers ON ddl_command_end EXECUTE FUNCTION archive.tell_schema_watchers();
    END IF;
END
$$;
RESET client_min_messages;
