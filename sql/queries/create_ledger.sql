-- The memory of this tool in the database: every run, and every step and batch that it committed.
CREATE TABLE IF NOT EXISTS migration_runs (
    run_id uuid PRIMARY KEY,
    flow_name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    outcome text NOT NULL DEFAULT 'running',
    parameters jsonb NOT NULL,
    host text NOT NULL,
    process_id integer NOT NULL,
    sql_files jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS migration_ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    step text NOT NULL,
    detail text NOT NULL DEFAULT '',
    campaigns bigint,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A run that awaits approval: what it waits for, and what became of that.
CREATE TABLE IF NOT EXISTS migration_approvals (
    run_id uuid PRIMARY KEY,
    flow_run_id uuid,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deadline timestamptz NOT NULL,
    backup_directory text,
    decision text,
    decided_by text,
    decided_at timestamptz,
    reason text
);
COMMENT ON TABLE migration_approvals IS 'phases migration: which runs awaited approval, and who decided what';
COMMENT ON TABLE migration_runs IS 'phases migration: every run, with its parameters and its outcome';
COMMENT ON TABLE migration_ledger IS 'phases migration: what each run committed, step by step and batch by batch';
