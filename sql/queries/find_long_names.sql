-- Names of campaigns that an index row cannot hold beside its other columns: PostgreSQL lets it have 2,704 bytes, and these take up to 100.
SELECT count(*) AS count, max(octet_length(c.name)) AS longest, (array_agg(c.id::text ORDER BY c.id))[1:20] AS keys
FROM campaigns AS c
WHERE pg_column_size(c.name) > 2600
