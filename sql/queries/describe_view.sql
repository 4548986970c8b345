-- A view as the statement that replaces it with itself; owner, grants, comments and column defaults stay by themselves.
SELECT c.relkind::text AS relkind, format('%I.%I', n.nspname, c.relname) AS identity,
    format('CREATE OR REPLACE VIEW %I.%I%s AS %s', n.nspname, c.relname,
        coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', ''), pg_get_viewdef(c.oid)) AS statement
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = $1
