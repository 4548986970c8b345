-- Schemas that hold both tables, for a message that helps.
SELECT n.nspname::text
FROM pg_namespace AS n
WHERE 2 = (
    SELECT count(*) FROM pg_class AS c
    WHERE c.relnamespace = n.oid AND c.relname IN ('campaigns', 'generated_domains') AND c.relkind IN ('r', 'p')
)
ORDER BY n.nspname
