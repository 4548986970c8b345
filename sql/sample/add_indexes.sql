-- The indexes of the legacy system, duplicates included. Each statement stands alone: two sessions build them at once.
-- The slow ones stand first.
CREATE INDEX idx_generated_domains_name_search ON generated_domains USING gin (to_tsvector('english', domain_name));
CREATE UNIQUE INDEX uq_generated_domains_campaign_name ON generated_domains (domain_generation_campaign_id, domain_name);
CREATE INDEX idx_generated_domains_name_details ON generated_domains (domain_name) INCLUDE (domain_generation_campaign_id, dns_status, created_at);
CREATE INDEX idx_generated_domains_campaign_created ON generated_domains (domain_generation_campaign_id, created_at DESC) INCLUDE (domain_name, dns_status, http_status);
CREATE INDEX idx_generated_domains_name_tld ON generated_domains (domain_name, tld) WHERE tld IS NOT NULL;
CREATE INDEX idx_generated_domains_name ON generated_domains (domain_name);
CREATE UNIQUE INDEX generated_domains_pkey ON generated_domains (id);
CREATE INDEX idx_generated_domains_validation ON generated_domains (dns_status, http_status, domain_generation_campaign_id, created_at);
CREATE INDEX idx_generated_domains_campaign_offset ON generated_domains (domain_generation_campaign_id, offset_index);
CREATE INDEX idx_generated_domains_campaign_offset_valid ON generated_domains (domain_generation_campaign_id, offset_index) WHERE offset_index >= 0;
CREATE INDEX idx_generated_domains_campaign_generated ON generated_domains (domain_generation_campaign_id, generated_at);

CREATE UNIQUE INDEX users_pkey ON users (id);
CREATE UNIQUE INDEX users_email_key ON users (email);

CREATE UNIQUE INDEX campaigns_pkey ON campaigns (id);
CREATE INDEX idx_campaigns_campaign_type ON campaigns (campaign_type);
CREATE INDEX idx_campaigns_status ON campaigns (status);
CREATE INDEX idx_campaigns_launch_sequence ON campaigns (launch_sequence);
CREATE INDEX idx_campaigns_type ON campaigns (campaign_type);
CREATE INDEX idx_campaigns_type_status ON campaigns (campaign_type, status);
CREATE INDEX idx_campaigns_status_type_created ON campaigns (status, campaign_type, created_at);
CREATE INDEX idx_campaigns_user_id ON campaigns (user_id);
CREATE INDEX idx_campaigns_user_status ON campaigns (user_id, status);
CREATE INDEX idx_campaigns_user_type_status ON campaigns (user_id, campaign_type, status) INCLUDE (name, created_at, progress_percentage);
CREATE INDEX idx_campaigns_status_progress ON campaigns (status, progress_percentage, updated_at) WHERE progress_percentage IS NOT NULL;
CREATE INDEX idx_campaigns_user_active ON campaigns (user_id, status) WHERE status IN ('running', 'pending', 'queued');
CREATE INDEX idx_campaigns_created_at ON campaigns (created_at DESC);
CREATE INDEX idx_campaigns_created_recent ON campaigns (created_at DESC);
CREATE INDEX idx_campaigns_status_updated ON campaigns (status, updated_at DESC);
CREATE INDEX idx_campaigns_updated_at ON campaigns (updated_at);
CREATE INDEX idx_campaigns_launch_pending ON campaigns (created_at) WHERE launch_sequence AND status = 'pending';
CREATE INDEX idx_campaigns_heartbeat ON campaigns (last_heartbeat_at) WHERE last_heartbeat_at IS NOT NULL;
CREATE INDEX idx_campaigns_name_search ON campaigns USING gin (to_tsvector('english', name));
CREATE INDEX idx_campaigns_metadata ON campaigns USING gin (metadata jsonb_path_ops);

CREATE UNIQUE INDEX campaign_jobs_pkey ON campaign_jobs (id);
CREATE INDEX idx_campaign_jobs_campaign ON campaign_jobs (campaign_id);
CREATE INDEX idx_campaign_jobs_due ON campaign_jobs (status, next_execution_at) WHERE status = 'pending';
CREATE UNIQUE INDEX campaign_events_pkey ON campaign_events (id);
CREATE INDEX idx_campaign_events_campaign ON campaign_events (campaign_id, occurred_at DESC);
CREATE UNIQUE INDEX campaign_shares_pkey ON campaign_shares (campaign_id, user_id);
CREATE UNIQUE INDEX campaign_exports_pkey ON campaign_exports (id);
CREATE INDEX idx_campaign_exports_campaign ON campaign_exports (campaign_id);
CREATE UNIQUE INDEX lead_items_pkey ON lead_items (id);
CREATE INDEX idx_lead_items_campaign ON lead_items (campaign_id);
CREATE INDEX idx_lead_items_domain ON lead_items (domain_id);
CREATE UNIQUE INDEX domain_tags_pkey ON domain_tags (domain_id, tag);
CREATE UNIQUE INDEX keyword_extractions_pkey ON keyword_extractions (id);
CREATE INDEX idx_keyword_extractions_domain ON keyword_extractions (domain_id);
CREATE UNIQUE INDEX proxies_usage_pkey ON proxies_usage (id);
CREATE INDEX idx_proxies_usage_campaign ON proxies_usage (campaign_id);
