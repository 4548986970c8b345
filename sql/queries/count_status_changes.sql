-- Statuses that were taken from results so far, by column: missing ones filled, contradictions settled.
SELECT
    count(*) FILTER (WHERE dns_reason = 'missing') AS dns_filled,
    count(*) FILTER (WHERE dns_reason = 'contradiction') AS dns_settled,
    count(*) FILTER (WHERE http_reason = 'missing') AS http_filled,
    count(*) FILTER (WHERE http_reason = 'contradiction') AS http_settled
FROM migration_domain_status_changes
