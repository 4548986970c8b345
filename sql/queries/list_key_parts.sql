-- How a column of the core tables stands in a plain btree index: its name, operator class and collation, as list_index_facts.sql writes them.
SELECT t.relname AS table_name, a.attname AS column_name,
    concat_ws(' ', quote_ident(a.attname), o.oid, a.attcollation) AS key
FROM pg_attribute AS a
JOIN pg_class AS t ON t.oid = a.attrelid
JOIN pg_type AS y ON y.oid = a.atttypid
JOIN pg_opclass AS o ON o.opcdefault AND o.opcmethod = (SELECT m.oid FROM pg_am AS m WHERE m.amname = 'btree')
    AND o.opcintype = CASE
        WHEN y.typtype = 'e' THEN 'anyenum'::regtype
        WHEN a.atttypid = 'character varying'::regtype THEN 'text'::regtype
        ELSE a.atttypid
    END
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (
    to_regclass(format('%I.campaigns', current_schema())), to_regclass(format('%I.generated_domains', current_schema()))
)
