-- The indexes of 000036 and how each stands: there or not, valid, as defined, and which session is building it.
SELECT w.index_name, w.table_name, w.definition, c.oid IS NOT NULL AS present,
    coalesce(i.indisvalid AND i.indisready AND i.indislive, false) AS valid,
    coalesce(replace(replace(regexp_replace(pg_get_indexdef(i.indexrelid), 'lead_score > (0|\(0\)::[a-z ]+)\)', 'lead_score > (0)::numeric)'),
            ' ON ONLY ', ' ON '), format(' ON %I.', current_schema()), ' ON ')
        = w.definition, false) AS same,
    CASE WHEN i.indexrelid IS NULL THEN format('%s, no index', c.oid::regclass) ELSE pg_get_indexdef(i.indexrelid) END AS found,
    (SELECT p.pid FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid LIMIT 1) AS builder
FROM phases_index_definitions() AS w
LEFT JOIN pg_class AS c ON c.relname = w.index_name AND c.relnamespace = quote_ident(current_schema())::regnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
