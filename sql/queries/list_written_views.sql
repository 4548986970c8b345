-- Views that show legacy columns of campaigns ($1 oid) by their plain names or others, through which roles other than the owner may write.
SELECT format('%I.%I', n.nspname, c.relname) AS identity,
    string_agg(DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee)::text END, ', ') AS writers
FROM pg_depend AS d
JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN'
JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind = 'v'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
CROSS JOIN LATERAL aclexplode(c.relacl) AS g
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
    AND g.privilege_type IN ('INSERT', 'UPDATE') AND g.grantee <> c.relowner
    -- Bits 2 and 4: UPDATE and INSERT reach the table without a trigger or a rule of the view's own.
    AND pg_relation_is_updatable(c.oid, false) & 12 <> 0
    AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype & 64 <> 0)
GROUP BY 1
ORDER BY 1
