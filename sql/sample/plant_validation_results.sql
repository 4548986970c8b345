-- Results of validation beside the domains' own statuses: most agree, some domains lack a status, some contradict their result.
-- Deterministic: what a domain gets follows from its name. After the sample's domains and keys.
CREATE TABLE dns_validation_results (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
    dns_campaign_id uuid NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    generated_domain_id uuid REFERENCES generated_domains (id) ON DELETE SET NULL,
    domain_name text NOT NULL,
    validation_status text NOT NULL CHECK (validation_status IN ('pending', 'resolved', 'unresolved', 'timeout', 'error')),
    attempts bigint DEFAULT 1,
    last_checked_at timestamptz
);
CREATE TABLE http_keyword_results (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
    http_keyword_campaign_id uuid NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    dns_result_id uuid REFERENCES dns_validation_results (id) ON DELETE SET NULL,
    domain_name text NOT NULL,
    validation_status text NOT NULL,
    http_status_code integer,
    last_checked_at timestamptz
);

-- Two in three domains that have been looked at have a DNS result. By a tenth of them: 0 lacks its status, 1 contradicts
-- and is newer, 2 contradicts and is older, 3 has two results of which the newer one agrees, 4 is not linked to its domain.
-- The temporary table goes with the session.
CREATE TEMPORARY TABLE planted AS
SELECT g.id, g.domain_generation_campaign_id AS campaign_id, g.domain_name, g.dns_status, g.http_status,
    coalesce(g.last_validated_at, g.created_at) AS validated_at, d.draw / 3 % 10 AS tenth
FROM generated_domains AS g
CROSS JOIN LATERAL (SELECT ('x' || left(md5(g.domain_name), 7))::bit(28)::integer AS draw) AS d
WHERE g.dns_status IS NOT NULL AND g.dns_status <> 'pending' AND d.draw % 3 < 2;

INSERT INTO dns_validation_results (id, dns_campaign_id, generated_domain_id, domain_name, validation_status, last_checked_at)
SELECT md5('dns ' || p.id || ' ' || r.turn)::uuid, p.campaign_id, CASE WHEN p.tenth <> 4 THEN p.id END, p.domain_name,
    CASE WHEN p.tenth IN (1, 2) OR (p.tenth = 3 AND r.turn = 1)
        THEN CASE p.dns_status WHEN 'ok' THEN 'timeout' ELSE 'resolved' END
        ELSE CASE p.dns_status WHEN 'ok' THEN 'resolved' WHEN 'error' THEN 'unresolved' ELSE p.dns_status END
    END,
    p.validated_at + CASE WHEN p.tenth = 1 THEN interval '1 hour' WHEN p.tenth = 2 THEN interval '-1 hour' ELSE interval '0' END
        - CASE WHEN r.turn = 1 AND p.tenth = 3 THEN interval '2 hours' ELSE interval '0' END
FROM planted AS p
CROSS JOIN LATERAL generate_series(1, CASE p.tenth WHEN 3 THEN 2 ELSE 1 END) AS r (turn);

-- A result of the keyword search knows its DNS result, or its campaign and name alone.
INSERT INTO http_keyword_results (id, http_keyword_campaign_id, dns_result_id, domain_name, validation_status, last_checked_at)
SELECT md5('http ' || p.id)::uuid, p.campaign_id, CASE WHEN p.tenth % 2 = 0 THEN md5('dns ' || p.id || ' 1')::uuid END,
    p.domain_name,
    CASE p.http_status WHEN 'ok' THEN CASE WHEN p.tenth = 5 THEN 'failed' ELSE 'success' END
        WHEN 'timeout' THEN 'timeout' WHEN 'error' THEN 'failed' ELSE 'success' END,
    p.validated_at + CASE WHEN p.tenth IN (5, 6) THEN interval '1 minute' ELSE interval '-1 minute' END
FROM planted AS p
WHERE p.http_status IS NOT NULL OR p.tenth = 7;

UPDATE generated_domains AS g SET dns_status = NULL FROM planted AS p WHERE g.id = p.id AND p.tenth = 0;
-- Results that belong to no domain: their domains are gone.
INSERT INTO dns_validation_results (id, dns_campaign_id, domain_name, validation_status, last_checked_at)
SELECT md5('stray ' || c.id)::uuid, c.id, 'gone-' || c.id || '.example', 'resolved', c.created_at FROM campaigns AS c;
CREATE UNIQUE INDEX dns_validation_results_link ON dns_validation_results (generated_domain_id, last_checked_at);
CREATE INDEX http_keyword_results_pair ON http_keyword_results (http_keyword_campaign_id, domain_name);
ANALYZE dns_validation_results, http_keyword_results;
