-- Under whose rights campaigns ($1 oid) is read: its row level security, and whether its owner sees every row.
SELECT c.relrowsecurity AS row_security, c.relowner AS owner,
    r.rolsuper OR r.rolbypassrls OR NOT c.relforcerowsecurity AS owner_sees_all, c.relforcerowsecurity AS is_forced,
    current_setting('server_version_num')::integer AS version,
    ARRAY(
        SELECT a.attname::text FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary
    ) AS key_columns,
    -- Who may read some columns only: a view that is read with their rights would ask for all.
    (
        SELECT string_agg(DISTINCT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END, ', ')
        FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS x
        WHERE a.attrelid = c.oid AND NOT a.attisdropped AND x.privilege_type = 'SELECT'
            AND NOT EXISTS (
                SELECT FROM aclexplode(c.relacl) AS w WHERE w.privilege_type = 'SELECT' AND w.grantee IN (x.grantee, 0)
            )
    ) AS column_readers
FROM pg_class AS c
JOIN pg_roles AS r ON r.oid = c.relowner
WHERE c.oid = $1
