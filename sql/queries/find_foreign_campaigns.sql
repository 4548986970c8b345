-- Foreign tables with a legacy column that read a table called campaigns through postgres_fdw, wherever that may be.
SELECT f.ftrelid::regclass::text AS name, s.srvname::text AS server,
    coalesce((SELECT string_agg(o.option_name || ' ' || o.option_value, ', ' ORDER BY o.option_name)
              FROM pg_options_to_table(s.srvoptions) AS o WHERE o.option_name IN ('host', 'hostaddr', 'port', 'dbname')), 'no address') AS address
FROM pg_foreign_table AS f
JOIN pg_class AS c ON c.oid = f.ftrelid
JOIN pg_foreign_server AS s ON s.oid = f.ftserver
JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'postgres_fdw'
WHERE coalesce((SELECT o.option_value FROM pg_options_to_table(f.ftoptions) AS o WHERE o.option_name = 'table_name'), c.relname) = 'campaigns'
    AND EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = f.ftrelid AND a.attnum > 0 AND NOT a.attisdropped
            AND coalesce((SELECT o.option_value FROM pg_options_to_table(a.attfdwoptions) AS o WHERE o.option_name = 'column_name'), a.attname)
                IN ('campaign_type', 'status', 'launch_sequence')
    )
ORDER BY 1
