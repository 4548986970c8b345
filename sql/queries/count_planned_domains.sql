-- How many domains the comparison with results would change.
SELECT count(DISTINCT p.domain_id) FROM migration_domain_status_plan AS p
