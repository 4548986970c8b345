-- Which of these indexes ($1) need not be built anew: since that was done last, no more than so many ($2) domains were settled.
SELECT b.name
FROM (
    SELECT i.name, max(l.finished_at) AS rebuilt_at
    FROM unnest($1::text[]) AS i (name)
    JOIN migration_ledger AS l ON l.detail = 'rebuilt index ' || i.name
    GROUP BY i.name
) AS b
WHERE (SELECT count(*) FROM migration_domain_status_changes AS c WHERE c.changed_at > b.rebuilt_at) <= $2::float8
