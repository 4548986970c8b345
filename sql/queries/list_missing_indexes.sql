-- The indexes of 000036 that are not there as they should be, with what is in the way of each.
SELECT w.index_name, w.table_name, w.definition, i.indexrelid IS NOT NULL AS present, coalesce(i.indisvalid, false) AS valid,
    coalesce(replace(pg_get_indexdef(i.indexrelid), format(' ON %I.', current_schema()), ' ON ') = w.definition, false) AS same
FROM phases_index_definitions() AS w
LEFT JOIN pg_class AS c ON c.relname = w.index_name AND c.relnamespace = quote_ident(current_schema())::regnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
