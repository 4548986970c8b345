-- A batch of domains ($3) behind a campaign and a domain ($1, $2) whose statuses are to be written, locked. Domains that
-- somebody else holds are passed over.
SELECT p.campaign_id AS first_key, p.domain_id AS last_key
FROM migration_domain_status_plan AS p
JOIN generated_domains AS g ON g.id = p.domain_id
WHERE (p.campaign_id, p.domain_id) > ($1::uuid, $2::uuid)
ORDER BY p.campaign_id, p.domain_id
LIMIT $3
FOR NO KEY UPDATE OF g SKIP LOCKED
