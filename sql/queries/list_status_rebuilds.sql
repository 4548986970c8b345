-- Which of these indexes ($1, as regclass prints them) were built anew since the last domain status was settled.
SELECT i.name
FROM unnest($1::text[]) AS i (name)
WHERE (SELECT max(l.id) FROM migration_ledger AS l WHERE l.detail = 'rebuilt index ' || i.name)
    > coalesce((SELECT max(l.id) FROM migration_ledger AS l WHERE l.detail LIKE 'domain statuses up to %'), 0)
