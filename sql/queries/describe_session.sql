-- The server and this session: version, what it may do, where its files are (NULL where this role may not know).
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer AS version_number,
    current_database() AS database_name,
    current_user AS role_name,
    pg_is_in_recovery() AS is_standby,
    current_setting('default_transaction_read_only') = 'on' AS is_read_only,
    r.rolsuper AS is_superuser,
    r.rolsuper OR r.rolcreatedb AS creates_databases,
    r.rolsuper OR pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all_sessions,
    coalesce((SELECT s.ssl FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid()), false) AS is_encrypted,
    (SELECT g.setting FROM pg_settings AS g WHERE g.name = 'data_directory') AS data_directory,
    n.oid IS NOT NULL AS schema_exists,
    coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS schema_usable,
    coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS schema_creatable
FROM pg_roles AS r
LEFT JOIN pg_namespace AS n ON n.nspname = $1
WHERE r.rolname = current_user
