-- Domains whose campaign is not there. One scan; not needed where a validated foreign key says so already.
SELECT
    count(*) AS count,
    (array_agg(d.id::text ORDER BY d.id))[1:20] AS keys,
    count(DISTINCT d.domain_generation_campaign_id) AS campaigns
FROM generated_domains AS d
WHERE NOT EXISTS (SELECT FROM campaigns AS c WHERE c.id = d.domain_generation_campaign_id)
