-- What stands in the way of dropping the legacy columns and of making our indexes: a view, and an index that bears one of their names.
CREATE VIEW active_campaigns_view AS
SELECT id, name, status, user_id, progress_percentage FROM campaigns WHERE status IN ('running', 'pausing', 'queued');
COMMENT ON VIEW active_campaigns_view IS 'Read by the operations dashboard.';
GRANT SELECT ON active_campaigns_view TO campaign_reader;

CREATE INDEX idx_campaigns_workflow_primary ON campaigns (created_at);
