-- Materialized views that read some of these ($1 oids) directly, or through others that do: they are bound to the old ones. With all
-- that list_view_dependents.sql tells of theirs.
WITH RECURSIVE bound (oid) AS (
    SELECT m.oid FROM unnest($1::oid[]) AS m (oid)
    UNION
    SELECT r.ev_class
    FROM bound AS b
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = b.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN'
    JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind = 'm'
    WHERE r.ev_class <> b.oid
)
SELECT c.oid, c.relkind::text AS relkind, format('%I.%I', n.nspname, c.relname) AS identity,
    pg_get_viewdef(c.oid) AS definition, array_to_string(c.reloptions, ', ') AS options, c.relispopulated AS populated,
    ARRAY(
        SELECT DISTINCT d.refobjid::bigint
        FROM pg_rewrite AS r
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE r.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
            AND d.refobjid IN (SELECT b.oid FROM bound AS b)
    ) AS reads
FROM bound AS b
JOIN pg_class AS c ON c.oid = b.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY identity
