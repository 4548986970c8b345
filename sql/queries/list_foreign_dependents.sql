-- Who owns relations ($1 oids), functions ($2 oids) and tables of policies ($3 oids), where we may not act as the owner.
SELECT 'relation' AS kind, c.oid::bigint AS oid, pg_get_userbyid(c.relowner)::text AS owner
FROM pg_class AS c
WHERE c.oid = ANY ($1::oid[]) AND NOT pg_has_role(c.relowner, 'USAGE')
UNION ALL
SELECT 'function', p.oid, pg_get_userbyid(p.proowner)
FROM pg_proc AS p
WHERE p.oid = ANY ($2::oid[]) AND NOT pg_has_role(p.proowner, 'USAGE')
UNION ALL
SELECT 'policy', p.oid, pg_get_userbyid(c.relowner)
FROM pg_policy AS p
JOIN pg_class AS c ON c.oid = p.polrelid
WHERE p.oid = ANY ($3::oid[]) AND NOT pg_has_role(c.relowner, 'USAGE')
