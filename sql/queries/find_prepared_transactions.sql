-- Prepared transactions of this database, and whether they hold locks on tables ($1 oids).
SELECT
    format('%L of %s, prepared %s', p.gid, p.owner, to_char(p.prepared, 'YYYY-MM-DD HH24:MI:SS TZ')) AS description,
    EXISTS (
        SELECT FROM pg_locks AS x
        JOIN pg_locks AS r ON r.virtualtransaction = x.virtualtransaction
        WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL
            AND r.locktype = 'relation' AND r.relation = ANY ($1::oid[])
    ) AS holds_locks
FROM pg_prepared_xacts AS p
WHERE p.database = current_database()
ORDER BY p.prepared
