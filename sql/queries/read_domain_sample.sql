-- Some domains ($2 rows of $1 percent of the pages) as a dump would hold them, to learn how well they compress.
SELECT d::text AS line FROM generated_domains AS d TABLESAMPLE SYSTEM ($1) LIMIT $2
