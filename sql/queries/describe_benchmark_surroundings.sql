-- What a measurement depends on besides its statements: version, settings, data volume, index sizes and who else is at work.
SELECT
    current_database()::text AS database_name,
    current_setting('server_version') AS server_version,
    (
        SELECT jsonb_object_agg(s.name, s.setting)::text
        FROM pg_settings AS s
        WHERE s.name IN (
            'shared_buffers', 'work_mem', 'hash_mem_multiplier', 'effective_cache_size', 'seq_page_cost', 'random_page_cost',
            'cpu_tuple_cost', 'cpu_index_tuple_cost', 'cpu_operator_cost', 'effective_io_concurrency',
            'max_parallel_workers', 'max_parallel_workers_per_gather', 'jit', 'plan_cache_mode', 'default_statistics_target',
            'enable_seqscan', 'enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan', 'enable_sort', 'enable_hashjoin',
            'enable_mergejoin', 'enable_nestloop', 'enable_hashagg', 'enable_memoize', 'enable_incremental_sort',
            'fsync', 'synchronous_commit', 'full_page_writes', 'wal_level', 'track_io_timing'
        )
    ) AS settings,
    (SELECT count(*) FROM campaigns) AS campaigns,
    (SELECT count(*) FROM generated_domains) AS domains,
    (
        SELECT count(*) FROM pg_stat_activity AS a
        WHERE a.state = 'active' AND a.backend_type = 'client backend'
            AND a.application_name NOT LIKE 'campaign-phases-migration%' AND a.pid <> pg_backend_pid()
    ) AS others_at_work,
    (
        SELECT coalesce(jsonb_agg(
            jsonb_build_object('name', x.indexrelid::regclass::text, 'table', t.relname, 'bytes', pg_relation_size(x.indexrelid))
            ORDER BY t.relname, x.indexrelid::regclass::text
        ), '[]')::text
        FROM pg_index AS x
        JOIN pg_class AS t ON t.oid = x.indrelid
        WHERE x.indrelid IN (
            SELECT p.relid::oid
            FROM (VALUES ('campaigns'), ('generated_domains')) AS c (name)
            CROSS JOIN LATERAL pg_partition_tree(to_regclass(format('%I.%I', current_schema(), c.name))) AS p
            UNION
            SELECT to_regclass(format('%I.%I', current_schema(), c.name))::oid
            FROM (VALUES ('campaigns'), ('generated_domains')) AS c (name)
        )
    ) AS indexes
