-- Writes the query for campaigns whose user is not there: campaigns' and the users table's oid, its key column.
SELECT format(
    'SELECT count(*) AS count, (array_agg(c.id::text ORDER BY c.id))[1:20] AS keys,'
    ' count(*) FILTER (WHERE c.user_id IS NULL) AS without_id'
    ' FROM %1$s AS c WHERE c.user_id IS NULL OR NOT EXISTS (SELECT FROM %2$s AS u WHERE u.%3$I = c.user_id)',
    $1::oid::regclass, $2::oid::regclass, $3::text
)
