-- Every look at pg_stat_statements, so that a later one knows what is new.
CREATE TABLE IF NOT EXISTS migration_statement_looks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    looked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    userid oid NOT NULL,
    queryid bigint NOT NULL,
    calls bigint NOT NULL
);
COMMENT ON TABLE migration_statement_looks IS 'phases migration: calls of statements that name legacy columns, at each look'
