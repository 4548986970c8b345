-- A batch of domains ($3) behind a domain ($2) whose statuses go back to what they were, locked. Domains that somebody else
-- holds are passed over.
SELECT $1::uuid AS first_key, c.domain_id AS last_key
FROM migration_domain_status_changes AS c
JOIN generated_domains AS g ON g.id = c.domain_id
WHERE c.domain_id > $2::uuid
ORDER BY c.domain_id
LIMIT $3
FOR NO KEY UPDATE OF g SKIP LOCKED
