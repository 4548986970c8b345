-- Up to 20 domains whose statuses are still to go back to what they were.
SELECT c.domain_id::text
FROM migration_domain_status_changes AS c
JOIN generated_domains AS g ON g.id = c.domain_id
LIMIT 20
