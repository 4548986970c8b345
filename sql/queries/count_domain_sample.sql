-- Reads a sample of whole pages, to learn how fast this table is read.
SELECT count(*) FROM generated_domains TABLESAMPLE SYSTEM ($1)
