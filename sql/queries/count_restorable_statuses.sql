-- Statuses taken from results that the way back restores, as they still are what was written, and those that it keeps.
SELECT
    coalesce(sum(s.holds::integer), 0)::bigint AS restored,
    coalesce(sum((NOT s.holds)::integer), 0)::bigint AS kept
FROM (
    SELECT c.new_dns_status IS NOT DISTINCT FROM g.dns_status::text AS holds
    FROM migration_domain_status_changes AS c
    JOIN generated_domains AS g ON g.id = c.domain_id
    WHERE c.dns_reason IS NOT NULL
    UNION ALL
    SELECT c.new_http_status IS NOT DISTINCT FROM g.http_status::text
    FROM migration_domain_status_changes AS c
    JOIN generated_domains AS g ON g.id = c.domain_id
    WHERE c.http_reason IS NOT NULL
) AS s
