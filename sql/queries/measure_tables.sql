-- The sizes that a plan's expectations come from: bytes and rows as the statistics have them.
SELECT
    pg_relation_size('campaigns') AS campaigns_bytes,
    pg_relation_size('generated_domains') AS domains_bytes,
    (SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'generated_domains'::regclass) AS partition_bytes,
    greatest((SELECT reltuples FROM pg_class WHERE oid = 'campaigns'::regclass), 0)::bigint AS campaigns_rows,
    greatest((SELECT reltuples FROM pg_class WHERE oid = 'generated_domains'::regclass), 0)::bigint AS domains_rows,
    (SELECT count(*) FROM campaigns) AS campaigns_counted,
    pg_database_size(current_database()) AS database_bytes
