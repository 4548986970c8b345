-- The two tables as they stand in a schema, with what this role may do to them.
SELECT
    c.oid,
    c.relname AS name,
    c.relkind::text AS kind,
    pg_get_userbyid(c.relowner) AS owner,
    pg_has_role(c.relowner, 'USAGE') AS is_owner,
    has_table_privilege(c.oid, 'SELECT') AS is_readable,
    row_security_active(c.oid) AS is_filtered,
    c.relforcerowsecurity AS forces_row_security,
    (SELECT max(a.attnum) FROM pg_attribute AS a WHERE a.attrelid = c.oid)::integer AS last_column_number,
    nullif(c.reloftype, 0)::regtype::text AS row_type,
    EXISTS (SELECT FROM pg_inherits AS h WHERE c.oid IN (h.inhparent, h.inhrelid)) AS is_in_a_tree,
    ARRAY(
        WITH RECURSIVE below (oid) AS (
            SELECT h.inhrelid FROM pg_inherits AS h WHERE h.inhparent = c.oid
            UNION
            SELECT h.inhrelid FROM below AS b JOIN pg_inherits AS h ON h.inhparent = b.oid
        )
        SELECT f.oid::regclass::text FROM below AS b JOIN pg_class AS f ON f.oid = b.oid AND f.relkind = 'f' ORDER BY 1
    ) AS foreign_partitions,
    age(c.relfrozenxid)::bigint AS transaction_age,
    pg_total_relation_size(c.oid) AS total_bytes
FROM pg_class AS c
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = $1)
    AND c.relname IN ('campaigns', 'generated_domains')
