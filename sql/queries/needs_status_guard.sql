-- Whether the application's own triggers on generated_domains, partitions included, would stamp a domain whose status is
-- written; whether our trigger against that is there; and the triggers that fire at all.
SELECT
    coalesce(bool_or(f.is_before AND NOT f.is_ours), false) AS is_needed,
    coalesce(bool_or(f.is_ours), false) AS is_there,
    coalesce(array_agg(DISTINCT f.name ORDER BY f.name) FILTER (WHERE f.is_before AND f.name > 'zzz_migration_keep_domain'), '{}')
        AS comes_last,
    coalesce(array_agg(DISTINCT f.name ORDER BY f.name) FILTER (WHERE NOT f.is_metrics AND NOT f.is_ours), '{}') AS fired
FROM (
    SELECT t.tgname::text COLLATE "C" AS name, t.tgtype & 19 = 19 AS is_before, t.tgname = 'zzz_migration_keep_domain' AS is_ours,
        t.tgname LIKE 'zzz\_campaign\_metrics\_%' AS is_metrics
    FROM pg_trigger AS t
    WHERE (
            t.tgrelid = to_regclass(format('%I.generated_domains', current_schema()))
            OR t.tgrelid IN (
                SELECT p.relid FROM pg_partition_tree(to_regclass(format('%I.generated_domains', current_schema()))) AS p)
        )
        AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 16 = 16
        AND (
            cardinality(t.tgattr::smallint[]) = 0
            OR EXISTS (
                SELECT FROM pg_attribute AS a
                WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::smallint[])
                    AND a.attname IN ('dns_status', 'http_status')
            )
        )
) AS f
