-- Campaigns whose metrics differ from a recount under one snapshot: what is stored and what was counted, as domains,
-- dns_validated_domains, http_validated_domains, leads. Not those that the transform has yet to count.
SELECT
    c.id::text AS campaign_id,
    ARRAY[c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads] AS stored,
    ARRAY[coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0)] AS counted
FROM campaigns AS c
LEFT JOIN (
    SELECT
        domain_generation_campaign_id AS campaign_id,
        count(*) AS domains,
        count(*) FILTER (WHERE dns_status = 'ok') AS dns,
        count(*) FILTER (WHERE http_status = 'ok') AS http,
        count(*) FILTER (WHERE lead_score > 0) AS leads
    FROM generated_domains
    GROUP BY domain_generation_campaign_id
) AS d ON d.campaign_id = c.id
WHERE
    (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
    IS DISTINCT FROM (coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0))
    AND NOT EXISTS (SELECT FROM campaign_metrics_baseline AS b WHERE b.campaign_id = c.id)
ORDER BY c.id
