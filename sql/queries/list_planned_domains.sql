-- Up to 20 domains whose statuses are still to be written.
SELECT DISTINCT p.domain_id::text
FROM migration_domain_status_plan AS p
JOIN generated_domains AS g ON g.id = p.domain_id
LIMIT 20
