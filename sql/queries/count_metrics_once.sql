-- The floor of the transform: one sequential aggregate over generated_domains.
SELECT count(*) FROM (
    SELECT domain_generation_campaign_id, count(*), count(*) FILTER (WHERE dns_status = 'ok'),
        count(*) FILTER (WHERE http_status = 'ok'), count(*) FILTER (WHERE lead_score > 0)
    FROM generated_domains
    GROUP BY domain_generation_campaign_id
) AS counted
