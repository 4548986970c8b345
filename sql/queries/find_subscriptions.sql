-- Tables ($1 oids) into which a subscription writes: its apply worker fires no ordinary trigger.
SELECT s.subname AS subscription, r.srrelid::regclass::text AS table_name
FROM pg_subscription_rel AS r
JOIN pg_subscription AS s ON s.oid = r.srsubid
WHERE r.srrelid = ANY ($1::oid[])
ORDER BY 1, 2
