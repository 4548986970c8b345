-- What a database gathers over the years: comments, statistics targets, storage, roles and their rights.
COMMENT ON TABLE campaigns IS 'One row per campaign, of whatever type.';
COMMENT ON COLUMN campaigns.campaign_type IS 'What the campaign does; fixed when it is created.';
COMMENT ON COLUMN campaigns.status IS 'Where the campaign stands: "pending" at first, set by the scheduler''s workers.';
COMMENT ON COLUMN campaigns.launch_sequence IS 'Whether the next campaign of the sequence starts when this one is completed.';
COMMENT ON COLUMN campaigns.progress_percentage IS 'Share of processed_items in total_items, 0 to 100.';
COMMENT ON COLUMN generated_domains.offset_index IS 'Place within the pattern''s sequence, from 0.';
COMMENT ON INDEX idx_campaigns_status IS 'Used by the scheduler.';
COMMENT ON CONSTRAINT chk_campaigns_campaign_type ON campaigns IS 'Six types since the comprehensive campaigns came.';
COMMENT ON TRIGGER set_campaigns_updated_at ON campaigns IS 'Dashboards sort by updated_at.';

ALTER TABLE campaigns
    ALTER COLUMN status SET STATISTICS 500,
    ALTER COLUMN campaign_type SET STATISTICS 250,
    ALTER COLUMN campaign_type SET STORAGE MAIN,
    ALTER COLUMN status SET (n_distinct = 9),
    ALTER COLUMN metadata SET STORAGE EXTERNAL;
ALTER TABLE generated_domains
    ALTER COLUMN domain_generation_campaign_id SET STATISTICS 400,
    ALTER COLUMN dns_status SET STATISTICS 200;
ALTER INDEX idx_campaigns_status SET (fillfactor = 80);

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['campaign_app', 'campaign_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                RAISE NOTICE 'role % was made by another session meanwhile', role_name;
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role_name);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns, generated_domains, campaign_jobs, campaign_events, campaign_shares,
    campaign_exports, lead_items, domain_tags, keyword_extractions, proxies_usage TO campaign_app;
GRANT TRUNCATE ON generated_domains TO campaign_app;
GRANT SELECT ON users TO campaign_app;
GRANT USAGE ON SEQUENCE campaign_events_id_seq, keyword_extractions_id_seq, proxies_usage_id_seq TO campaign_app;
GRANT SELECT ON generated_domains TO campaign_reader;
GRANT SELECT (id, name, campaign_type, status, created_at, updated_at) ON campaigns TO campaign_reader;
GRANT UPDATE (status, launch_sequence) ON campaigns TO campaign_reader;
