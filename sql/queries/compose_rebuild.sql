-- The statements that take campaigns away and fill it again; $1 are its columns but generated ones, in the new order, $2 the
-- populated materialized views and $3 the sequences among what goes with it.
SELECT
    format('CREATE TEMPORARY TABLE campaigns_in_order ON COMMIT DROP AS TABLE %I.campaigns', home.name) AS copy_statement,
    -- From there on every name is written in full.
    format('DROP TABLE %I.campaigns CASCADE; SET LOCAL search_path = pg_catalog', home.name) AS drop_statement,
    format('INSERT INTO %I.campaigns (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pg_temp.campaigns_in_order',
           home.name, listed.columns, listed.columns) AS insert_statement,
    array(SELECT format('REFRESH MATERIALIZED VIEW %I.%I', n.nspname, c.relname)
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
          WHERE c.oid = ANY ($2::oid[]) ORDER BY c.oid) AS refresh_statements,
    array(SELECT format('SELECT format(''SELECT setval(%%L, %%s, %%L)'', %L, last_value, is_called) FROM %I.%I',
                        format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
          WHERE c.oid = ANY ($3::oid[])) AS sequence_questions
FROM (SELECT current_schema() AS name) AS home
CROSS JOIN (
    SELECT string_agg(format('%I', c.name), ', ' ORDER BY c.place) AS columns
    FROM unnest($1::text[]) WITH ORDINALITY AS c (name, place)
) AS listed
