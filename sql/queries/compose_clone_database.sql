-- May a database be copied by TEMPLATE, and by which statements? $1: the copy's name, $2: a text for its comment, $3: the
-- database's name, this one if NULL.
SELECT
    d.datname::text AS database_name,
    pg_database_size(d.oid) AS bytes,
    r.rolsuper OR r.rolcreatedb AS creates_databases,
    r.rolsuper OR d.datistemplate OR pg_has_role(d.datdba, 'USAGE') AS may_copy,
    (
        SELECT count(*) FROM pg_stat_activity AS a
        WHERE a.datid = d.oid AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
    ) AS others,
    EXISTS (SELECT FROM pg_prepared_xacts AS x WHERE x.database = d.datname) AS has_prepared,
    format(
        'CREATE DATABASE %I TEMPLATE %I%s', $1::text, d.datname,
        -- Block by block through the log is quicker for a small one alone.
        CASE WHEN current_setting('server_version_num')::integer >= 150000 AND pg_database_size(d.oid) > 100 * 1024 * 1024
            THEN ' STRATEGY FILE_COPY' ELSE '' END
    ) AS copy_statement,
    format('COMMENT ON DATABASE %I IS %L', $1::text, $2::text) AS mark_statement,
    format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text) AS drop_statement
FROM pg_database AS d
JOIN pg_roles AS r ON r.rolname = current_user
WHERE d.datname = coalesce($3::text, current_database())
