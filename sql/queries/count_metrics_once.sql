-- The floor of the transform: one sequential aggregate over generated_domains, with all that the count needs.
SELECT sum(domains), sum(dns), sum(http), sum(leads) FROM (
    SELECT domain_generation_campaign_id, count(*) AS domains, count(*) FILTER (WHERE dns_status = 'ok') AS dns,
        count(*) FILTER (WHERE http_status = 'ok') AS http, count(*) FILTER (WHERE lead_score > 0) AS leads
    FROM generated_domains
    GROUP BY domain_generation_campaign_id
) AS counted
