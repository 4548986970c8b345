-- Views whose only tie to campaigns is the table as a whole (SELECT c, to_jsonb(c), count(*)): a dropped column leaves them
-- without an error and with other rows. campaigns' oid.
SELECT DISTINCT pg_describe_object('pg_class'::regclass, r.ev_class, 0) AS description
FROM pg_depend AS d
JOIN pg_rewrite AS r ON r.oid = d.objid
JOIN pg_class AS c ON c.oid = r.ev_class
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    AND d.refobjsubid = 0 AND r.ev_class <> $1
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %'
ORDER BY description
