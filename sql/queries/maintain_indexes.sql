-- The weekly maintenance of the core tables' indexes, which also runs ANALYZE.
SELECT index_name, action, details FROM maintain_phases_indexes()
