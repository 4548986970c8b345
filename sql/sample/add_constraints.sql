-- Keys on the indexes that are there, foreign keys, checks, and where the identity columns go on after the loaded rows.
ALTER TABLE users
    ADD CONSTRAINT users_pkey PRIMARY KEY USING INDEX users_pkey,
    ADD CONSTRAINT users_email_key UNIQUE USING INDEX users_email_key;

ALTER TABLE campaigns
    ADD CONSTRAINT campaigns_pkey PRIMARY KEY USING INDEX campaigns_pkey,
    ADD CONSTRAINT campaigns_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL,
    ADD CONSTRAINT chk_campaigns_campaign_type CHECK (
        campaign_type IN ('domain_generation', 'dns_validation', 'http_keyword_validation', 'analysis', 'comprehensive', 'automated')
    ),
    ADD CONSTRAINT chk_campaigns_status CHECK (
        status IN ('pending', 'queued', 'running', 'pausing', 'paused', 'completed', 'failed', 'cancelled', 'archived')
    ),
    ADD CONSTRAINT chk_campaigns_total_items CHECK (total_items >= 0),
    ADD CONSTRAINT chk_campaigns_processed_items CHECK (processed_items >= 0),
    ADD CONSTRAINT chk_campaigns_successful_items CHECK (successful_items >= 0),
    ADD CONSTRAINT chk_campaigns_failed_items CHECK (failed_items >= 0),
    ADD CONSTRAINT chk_campaigns_progress_percentage CHECK (progress_percentage >= 0 AND progress_percentage <= 100);

ALTER TABLE generated_domains
    ADD CONSTRAINT generated_domains_pkey PRIMARY KEY USING INDEX generated_domains_pkey,
    ADD CONSTRAINT uq_generated_domains_campaign_name UNIQUE USING INDEX uq_generated_domains_campaign_name,
    ADD CONSTRAINT generated_domains_campaign_fkey FOREIGN KEY (domain_generation_campaign_id)
    REFERENCES campaigns (id) ON DELETE CASCADE,
    ADD CONSTRAINT chk_generated_domains_offset CHECK (offset_index >= 0),
    ADD CONSTRAINT chk_generated_domains_dns_status CHECK (dns_status IN ('pending', 'ok', 'error', 'timeout')),
    ADD CONSTRAINT chk_generated_domains_http_status CHECK (http_status IN ('pending', 'ok', 'error', 'timeout'));

ALTER TABLE campaign_jobs
    ADD CONSTRAINT campaign_jobs_pkey PRIMARY KEY USING INDEX campaign_jobs_pkey,
    ADD CONSTRAINT campaign_jobs_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE CASCADE,
    ADD CONSTRAINT chk_campaign_jobs_attempts CHECK (attempts >= 0 AND attempts <= max_attempts);

ALTER TABLE campaign_events
    ADD CONSTRAINT campaign_events_pkey PRIMARY KEY USING INDEX campaign_events_pkey,
    ADD CONSTRAINT campaign_events_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE CASCADE,
    ADD CONSTRAINT campaign_events_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL;

ALTER TABLE campaign_shares
    ADD CONSTRAINT campaign_shares_pkey PRIMARY KEY USING INDEX campaign_shares_pkey,
    ADD CONSTRAINT campaign_shares_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE CASCADE,
    ADD CONSTRAINT campaign_shares_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;

ALTER TABLE campaign_exports
    ADD CONSTRAINT campaign_exports_pkey PRIMARY KEY USING INDEX campaign_exports_pkey,
    ADD CONSTRAINT campaign_exports_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE SET NULL;

ALTER TABLE lead_items
    ADD CONSTRAINT lead_items_pkey PRIMARY KEY USING INDEX lead_items_pkey,
    ADD CONSTRAINT lead_items_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE CASCADE,
    ADD CONSTRAINT lead_items_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES generated_domains (id) ON DELETE CASCADE;

ALTER TABLE domain_tags
    ADD CONSTRAINT domain_tags_pkey PRIMARY KEY USING INDEX domain_tags_pkey,
    ADD CONSTRAINT domain_tags_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES generated_domains (id) ON DELETE CASCADE;

ALTER TABLE keyword_extractions
    ADD CONSTRAINT keyword_extractions_pkey PRIMARY KEY USING INDEX keyword_extractions_pkey,
    ADD CONSTRAINT keyword_extractions_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES generated_domains (id) ON DELETE CASCADE;

ALTER TABLE proxies_usage
    ADD CONSTRAINT proxies_usage_pkey PRIMARY KEY USING INDEX proxies_usage_pkey,
    ADD CONSTRAINT proxies_usage_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE SET NULL;
