-- The recorded indexes on legacy columns that are not there, or that an interrupted build has left invalid.
SELECT s.identity,
    x.indexrelid IS NOT NULL AS is_there,
    regexp_replace(s.create_statement, '^CREATE (UNIQUE )?INDEX ', 'CREATE \1INDEX CONCURRENTLY ') AS create_concurrently,
    format('DROP INDEX CONCURRENTLY %I', s.identity) AS drop_concurrently,
    coalesce((SELECT substring(t.create_statement FROM ' SET TABLESPACE (.*)$') FROM migration_saved_objects AS t
              WHERE t.kind = 'index tablespace' AND t.identity = s.identity), '') AS tablespace
FROM migration_saved_objects AS s
LEFT JOIN pg_index AS x ON x.indexrelid = to_regclass(format('%I.%I', current_schema(), s.identity))
WHERE s.kind = 'index' AND NOT coalesce(x.indisvalid AND x.indisready AND x.indislive, false)
ORDER BY s.position, s.id
