-- The triggers of the legacy system: a stamp of the last change, range checks on rows, a notice after every statement.
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END
$$;

CREATE FUNCTION check_campaign_ranges() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.progress_percentage < 0 OR NEW.progress_percentage > 100 THEN
        RAISE EXCEPTION 'progress_percentage of campaign % is %, not within 0 and 100', NEW.id, NEW.progress_percentage
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.completed_at < NEW.started_at THEN
        RAISE EXCEPTION 'campaign % was completed before it was started', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION check_domain_ranges() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.lead_score < 0 OR NEW.lead_score > 100 THEN
        RAISE EXCEPTION 'lead_score of domain % is %, not within 0 and 100', NEW.domain_name, NEW.lead_score
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('campaign_changes', TG_TABLE_NAME || ' ' || TG_OP);
    RETURN NULL;
END
$$;

CREATE TRIGGER set_users_updated_at BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_campaigns_updated_at BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_campaign_jobs_updated_at BEFORE UPDATE ON campaign_jobs FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER check_campaigns_ranges BEFORE INSERT OR UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION check_campaign_ranges();
CREATE TRIGGER check_generated_domains_ranges BEFORE INSERT OR UPDATE OF lead_score ON generated_domains
    FOR EACH ROW EXECUTE FUNCTION check_domain_ranges();
CREATE TRIGGER notify_campaigns AFTER INSERT OR UPDATE OR DELETE ON campaigns
    FOR EACH STATEMENT EXECUTE FUNCTION notify_change();
CREATE TRIGGER notify_generated_domains AFTER INSERT OR UPDATE OR DELETE ON generated_domains
    FOR EACH STATEMENT EXECUTE FUNCTION notify_change();
