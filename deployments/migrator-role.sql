-- The role that the pipeline connects as: what it needs and no more. Run once per server, as a role that may create roles:
--   psql -v ON_ERROR_STOP=1 -d campaigns -c "SET migration.owner = 'app'" -f deployments/migrator-role.sql
-- migration.owner: the owner of campaigns and generated_domains. migration.role: the new role's name, campaign_migrator if unset.
-- The password is set apart from this, so that it is in no file:  \password campaign_migrator
-- It is no superuser and makes no roles. It acts as the owner of the campaign tables, as only an owner may alter a table; it may
-- read every table, as pg_dump does; and it may see who holds locks and which statements run (pg_monitor). A restore check makes
-- a scratch database: for that alone, ALTER ROLE campaign_migrator CREATEDB.
DO $role$
DECLARE
    owner_name text := nullif(current_setting('migration.owner', true), '');
    role_name text := coalesce(nullif(current_setting('migration.role', true), ''), 'campaign_migrator');
BEGIN
    IF owner_name IS NULL THEN
        RAISE EXCEPTION 'who owns the campaign tables? SET migration.owner = ''...'' says so'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
        EXECUTE format(
            'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 20', role_name
        );
    END IF;
    EXECUTE format('GRANT %I, pg_read_all_data, pg_monitor TO %I', owner_name, role_name);
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), role_name);
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', current_schema(), owner_name);
END
$role$;
