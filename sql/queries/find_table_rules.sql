-- Rules of the core tables ($1 oids) that are at work: by them PostgreSQL rewrites every statement, this migration's own included.
SELECT r.rulename::text AS name, r.ev_class::regclass::text AS table_name, regexp_replace(pg_get_ruledef(r.oid), '\s+', ' ', 'g') AS definition
FROM pg_rewrite AS r
WHERE r.ev_class = ANY ($1::oid[]) AND r.ev_enabled IN ('O', 'A')
ORDER BY 2, 1
