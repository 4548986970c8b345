-- Writes the statement that copies some pages' worth of domains ($1 percent) into a table of ours ($2 schema, $3 name).
SELECT format(
    'CREATE TABLE %I.%I AS SELECT * FROM %I.generated_domains TABLESAMPLE SYSTEM (%s) REPEATABLE (1)', $2::text, $3::text, $2::text,
    round($1::double precision::numeric, 6)
)
