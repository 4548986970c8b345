-- Writes the recount of one campaign ($1), whose row this transaction has locked: whoever writes its domains folds the differences
-- under that lock, so that all that is committed is counted here and nothing else. Returns what was counted; no row where it was right.
UPDATE campaigns AS c
SET
    domains = d.domains,
    dns_validated_domains = d.dns,
    http_validated_domains = d.http,
    leads = d.leads
FROM (
    SELECT
        count(*) AS domains,
        count(*) FILTER (WHERE dns_status = 'ok') AS dns,
        count(*) FILTER (WHERE http_status = 'ok') AS http,
        count(*) FILTER (WHERE lead_score > 0) AS leads
    FROM generated_domains
    WHERE domain_generation_campaign_id = $1::uuid
) AS d
WHERE
    c.id = $1::uuid
    AND (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads) IS DISTINCT FROM (d.domains, d.dns, d.http, d.leads)
RETURNING ARRAY[d.domains, d.dns, d.http, d.leads] AS counted
