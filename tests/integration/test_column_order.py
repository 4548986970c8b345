"""The exact order of columns, offline: campaigns is built again from pg_dump's words, or not at all."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tasks.core import errors, rollback, run
from tasks.core.column_order import with_columns_in_order
from tasks.core.database import Database, connect
from tasks.core.progress import unheard
from tasks.core.settings import RollbackParameters
from tests.chain import OURS, Chain, difference, differences
from tests.schema_dump import schema_dump

# What may hang on the table: all of it must be there again, as it was.
SURROUNDINGS = """
CREATE VIEW running_campaigns WITH (security_barrier) AS
    SELECT id, name, status FROM campaigns WHERE status = 'running' GROUP BY id, name, status;
CREATE VIEW of_running AS SELECT count(*) AS "How Many" FROM running_campaigns;
GRANT SELECT ON running_campaigns TO campaign_reader;
COMMENT ON VIEW running_campaigns IS 'those that run';
CREATE MATERIALIZED VIEW by_status AS SELECT status, count(*) AS campaigns FROM campaigns GROUP BY status;
CREATE UNIQUE INDEX by_status_key ON by_status (status);
CREATE FUNCTION label_of(c campaigns) RETURNS text LANGUAGE sql STABLE AS 'SELECT c.name';
ALTER TABLE campaigns ADD serial_no bigint GENERATED ALWAYS AS IDENTITY (INCREMENT 3), ADD old_no serial,
    ADD name_length integer GENERATED ALWAYS AS (length(name)) STORED, ADD "Odd, (name)" text DEFAULT E'a,\\n)b';
CREATE POLICY mine ON campaigns FOR SELECT TO campaign_reader USING (status <> 'archived');
COMMENT ON POLICY mine ON campaigns IS 'archived ones are hidden';
CREATE TABLE gate (id integer PRIMARY KEY);
ALTER TABLE gate ENABLE ROW LEVEL SECURITY;
CREATE RULE told_of_the_end AS ON DELETE TO campaigns DO ALSO NOTIFY gone;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER told AFTER UPDATE OF status ON campaigns FOR EACH ROW WHEN (old.status <> new.status) EXECUTE FUNCTION nothing();
ALTER TABLE campaigns DISABLE TRIGGER told;
COMMENT ON TRIGGER told ON campaigns IS 'asleep';
CREATE STATISTICS together (dependencies) ON user_id, status FROM campaigns;
CREATE PUBLICATION some_tables FOR TABLE campaigns, generated_domains;
ALTER TABLE campaigns SET (fillfactor = 80, autovacuum_enabled = off);
ALTER TABLE campaigns ALTER user_id SET STATISTICS 77, ALTER name SET STORAGE EXTERNAL;
GRANT SELECT (name), UPDATE (name) ON campaigns TO campaign_reader WITH GRANT OPTION;
ALTER TABLE campaign_events ALTER CONSTRAINT campaign_events_campaign_id_fkey DEFERRABLE INITIALLY DEFERRED;
"""

# Who may read some columns only cannot read through a view that obeys row level security: the two do not go together.
READERS = """
CREATE FUNCTION running() RETURNS bigint STABLE BEGIN ATOMIC SELECT count(*) FROM campaigns WHERE status = 'running'; END;
CREATE POLICY through ON gate USING (EXISTS (SELECT FROM campaigns WHERE status = 'running'));
"""
SECURITY = "ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY;"

# What belongs to the legacy columns themselves and goes with them.
OF_LEGACY_COLUMNS = """
CREATE UNIQUE INDEX once ON campaigns (id, status, campaign_type) INCLUDE (name) WITH (fillfactor = 71);
ALTER TABLE campaigns REPLICA IDENTITY USING INDEX once, CLUSTER ON idx_campaigns_status_updated;
CREATE INDEX lowered ON campaigns (lower(status), (campaign_type || '-') DESC NULLS LAST) WHERE NOT launch_sequence;
ALTER INDEX lowered ALTER COLUMN 1 SET STATISTICS 33;
COMMENT ON INDEX lowered IS 'written small';
GRANT SELECT (status) ON campaigns TO campaign_reader WITH GRANT OPTION;
GRANT UPDATE (status), REFERENCES (status), SELECT (campaign_type) ON campaigns TO campaign_app;
GRANT SELECT (status), INSERT (launch_sequence) ON campaigns TO PUBLIC;
ALTER TABLE campaigns ALTER status SET STATISTICS 123, ALTER campaign_type SET STORAGE PLAIN, ALTER status SET COMPRESSION pglz,
    ALTER campaign_type SET (n_distinct = 6, n_distinct_inherited = -0.5), ALTER status SET DEFAULT lower('QUEUED');
ALTER TABLE campaigns ADD CONSTRAINT "Not Both" CHECK (status <> 'archived' OR campaign_type IS NOT NULL),
    ADD CONSTRAINT later CHECK (status <> 'nothing') NOT VALID;
COMMENT ON CONSTRAINT later ON campaigns IS 'some day';
COMMENT ON COLUMN campaigns.launch_sequence IS 'in a row';
CREATE STATISTICS of_legacy (ndistinct, mcv) ON status, campaign_type, user_id FROM campaigns;
ALTER STATISTICS of_legacy SET STATISTICS 44;
COMMENT ON STATISTICS of_legacy IS 'both';
CREATE PUBLICATION of_columns FOR TABLE campaigns (id, status, campaign_type, name);
"""
# From PostgreSQL 18 on NOT NULL has a name, and may be there for new rows alone.
NAMED_NOT_NULL = """
ALTER TABLE campaigns RENAME CONSTRAINT campaigns_status_not_null TO "status is there";
COMMENT ON CONSTRAINT "status is there" ON campaigns IS 'always';
ALTER TABLE campaigns ALTER launch_sequence DROP NOT NULL, ADD CONSTRAINT launch_later NOT NULL launch_sequence NOT VALID,
    ADD CONSTRAINT unforced CHECK (status <> 'never') NOT ENFORCED;
"""


async def go_back(database: Database, **options: Any) -> rollback.RollbackReport:
    parameters = RollbackParameters(mode="apply", confirm=database.database, exact_column_order=True, **options)
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "test"):
        return await rollback.roll_back(database, parameters, run_id, unheard)


def exact_dump(database: Database) -> str:
    """pg_dump --schema-only line by line, without our own tables and pg_dump's random marks."""
    entries = [entry for entry in schema_dump(database).split("\n--\n-- Name: ") if not OURS.search(entry)]
    return "\n".join(entries)


@pytest.mark.parametrize("more", [READERS, SECURITY], ids=["readers", "row level security"])
async def test_with_the_exact_order_the_dump_is_the_same_line_by_line(legacy_database: Database, more: str) -> None:
    chain = Chain(legacy_database)
    async with connect(legacy_database) as connection:
        details = OF_LEGACY_COLUMNS + (NAMED_NOT_NULL if connection.get_server_version().major >= 18 else "")
    await chain.execute(SURROUNDINGS, more, details, "SELECT setval('campaigns_old_no_seq', 500)")
    lines, rows, as_it_was = chain.dump(), await chain.checksums(), exact_dump(legacy_database)
    answers = await chain.values("SELECT status || campaigns FROM by_status ORDER BY 1")
    await chain.up()
    report = await go_back(legacy_database)
    assert report.column_order[1:5] == ["name", "campaign_type", "status", "launch_sequence"]
    assert difference(chain.dump(), lines) == []
    assert exact_dump(legacy_database).splitlines() == as_it_was.splitlines()
    assert differences(await chain.checksums(), rows) == {}
    assert await chain.values("SELECT status || campaigns FROM by_status ORDER BY 1") == answers
    assert await chain.values("SELECT nextval('campaigns_old_no_seq')") == [501]
    # No column number is used up any more.
    dropped = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'campaigns'::regclass AND attisdropped"
    assert await chain.values(dropped) == [0]
    await chain.there_and_back()
    # The way back is behind us: the order alone can still be asked for, and is found in place the second time.
    assert (await go_back(legacy_database)).column_order == report.column_order
    assert (await go_back(legacy_database)).column_order == report.column_order
    assert exact_dump(legacy_database).splitlines() == as_it_was.splitlines()


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ("CREATE TABLE snapshots (id integer, as_it_was campaigns)", "column as_it_was of table snapshots"),
        ("CREATE TABLE more_campaigns () INHERITS (campaigns)", "table more_campaigns"),
        ("CREATE DOMAIN a_campaign AS campaigns", "type a_campaign"),
    ],
)
async def test_what_would_be_lost_is_named_and_nothing_is_touched(
    legacy_database: Database, planted: str, named: str
) -> None:
    chain = Chain(legacy_database)
    await chain.up()
    async with connect(legacy_database) as connection:
        await connection.execute(planted)
    schema = exact_dump(legacy_database)
    plan = await rollback.plan_rollback(legacy_database, RollbackParameters(exact_column_order=True))
    assert any(named in hindrance for hindrance in plan.column_order_hindrances), plan.column_order_hindrances
    assert exact_dump(legacy_database) == schema
    with pytest.raises(errors.StepFailed, match=f"would not come back: .*{named}.*The way back itself is complete"):
        await go_back(legacy_database)
    assert await chain.values("SELECT count(*) FROM campaigns WHERE status IS NOT NULL") == [60]


def test_a_table_keeps_its_words_whatever_stands_in_them() -> None:
    statement = (
        "CREATE TABLE public.campaigns (\n    id uuid DEFAULT f(1, 2) NOT NULL,\n    note text DEFAULT 'ä, (\n)' ,\n"
        "    status text,\n    CONSTRAINT c CHECK ((id IS NOT NULL))\n)\nWITH (fillfactor='80')"
    )
    assert with_columns_in_order(statement, ["status", "id", "note"]) == (
        "CREATE TABLE public.campaigns (\n    status text,\n    id uuid DEFAULT f(1, 2) NOT NULL,\n"
        "    note text DEFAULT 'ä, (\n)' ,\n    CONSTRAINT c CHECK ((id IS NOT NULL))\n)\nWITH (fillfactor='80')"
    )
    assert with_columns_in_order("ALTER TABLE x ADD y int", ["y"]) == "ALTER TABLE x ADD y int"
