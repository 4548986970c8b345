-- What a production database has around campaigns: readers of the legacy columns of every kind that can be kept.
CREATE VIEW running_campaigns AS
SELECT id, name, status, campaign_type, user_id FROM campaigns WHERE status IN ('running', 'queued');
CREATE VIEW running_campaign_counts AS
SELECT user_id, count(*) AS campaigns FROM running_campaigns GROUP BY user_id;
CREATE VIEW campaign_api WITH (security_barrier = true) AS
SELECT id, name AS "campaignName", campaign_type AS "campaignType", status AS "campaignStatus",
    launch_sequence AS "launchSequence", progress_percentage AS "progressPercentage"
FROM campaigns;
CREATE VIEW campaign_documents AS SELECT c.id, to_jsonb(c) AS document FROM campaigns AS c;
CREATE MATERIALIZED VIEW campaign_statistics AS
SELECT campaign_type, status, count(*) AS campaigns, avg(progress_percentage) AS average
FROM campaigns GROUP BY campaign_type, status;
CREATE UNIQUE INDEX campaign_statistics_key ON campaign_statistics (campaign_type, status);
CREATE INDEX "campaign statistics by size" ON campaign_statistics (campaigns DESC) WHERE campaigns > 1;
CREATE MATERIALIZED VIEW campaign_statistics_empty AS SELECT status FROM campaigns WITH NO DATA;
CREATE VIEW campaign_statistics_top AS SELECT * FROM campaign_statistics WHERE campaigns > 1;

COMMENT ON VIEW campaign_api IS 'read by the public API';
COMMENT ON COLUMN campaign_api."campaignStatus" IS 'as clients know it';
COMMENT ON MATERIALIZED VIEW campaign_statistics IS 'refreshed every night';
COMMENT ON COLUMN campaign_statistics.average IS 'percent';
COMMENT ON INDEX campaign_statistics_key IS 'for REFRESH CONCURRENTLY';
ALTER MATERIALIZED VIEW campaign_statistics ALTER COLUMN status SET STATISTICS 321;
GRANT SELECT ON running_campaigns, campaign_api, campaign_statistics TO campaign_reader;
GRANT SELECT, UPDATE ON campaign_api TO campaign_app WITH GRANT OPTION;

CREATE FUNCTION count_running() RETURNS bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT count(*) FROM campaigns WHERE status = 'running';
END;

CREATE FUNCTION note_status_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('campaign_status', NEW.id::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER status_changed AFTER UPDATE OF status ON campaigns
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION note_status_change();

CREATE POLICY only_open_jobs ON campaign_jobs FOR SELECT TO campaign_reader
USING (EXISTS (SELECT FROM campaigns AS c WHERE c.id = campaign_id AND c.status <> 'archived'));
CREATE STATISTICS campaigns_type_and_status (dependencies) ON campaign_type, status FROM campaigns;
COMMENT ON STATISTICS campaigns_type_and_status IS 'they go together';
GRANT SELECT ON campaign_jobs TO campaign_reader;
ALTER TABLE campaign_jobs ENABLE ROW LEVEL SECURITY;
