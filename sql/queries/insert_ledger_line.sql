-- One thing done, committed together with it.
INSERT INTO migration_ledger (run_id, step, detail, campaigns) VALUES ($1, $2, $3, $4)
