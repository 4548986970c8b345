-- What a measurement depends on besides its statements: version, settings and data volume.
SELECT
    current_database()::text AS database_name,
    current_setting('server_version') AS server_version,
    (
        SELECT jsonb_object_agg(s.name, s.setting)::text
        FROM pg_settings AS s
        WHERE s.name IN (
            'shared_buffers', 'work_mem', 'effective_cache_size', 'random_page_cost', 'max_parallel_workers_per_gather',
            'jit', 'plan_cache_mode', 'default_statistics_target', 'fsync', 'synchronous_commit'
        )
    ) AS settings,
    (SELECT count(*) FROM campaigns) AS campaigns,
    (SELECT count(*) FROM generated_domains) AS domains
