-- The rows that each pg_dump session on this database has read of the table that it is at, and the rows of all tables.
SELECT c.pid, c.relid::bigint AS table_id, c.tuples_processed AS done,
    (
        SELECT coalesce(sum(greatest(t.reltuples, 0)), 0)::bigint
        FROM pg_class AS t JOIN pg_namespace AS n ON n.oid = t.relnamespace
        WHERE t.relkind = 'r' AND t.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
    ) AS total
FROM pg_stat_progress_copy AS c
JOIN pg_stat_activity AS a ON a.pid = c.pid AND a.application_name = 'pg_dump'
WHERE c.datname = current_database() AND c.command = 'COPY TO'
