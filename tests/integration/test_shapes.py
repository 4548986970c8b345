"""Databases of other shapes: each goes up, is judged, and comes back as it was; what cannot be is refused by name."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
from pydantic import SecretStr

from tasks.core import errors, maintenance, pooler, sql_files
from tasks.core.database import Connection, Database
from tasks.core.settings import LockLimits
from tests.chain import MISCOUNTED, Chain

MIGRATOR_ROLE = Path(__file__).resolve().parents[2] / "deployments" / "migrator-role.sql"
SMALL = {"campaigns": 60, "domains": 1_200}
SampleFactory = Callable[..., Any]

# Indexes whose predicates compare the legacy columns with text stand in the way of a change of type.
FREE_TYPES = "DROP INDEX idx_campaigns_user_active, idx_campaigns_launch_pending"
ENUMS = f"""
{FREE_TYPES};
CREATE TYPE "campaign kind" AS ENUM
    ('domain_generation', 'dns_validation', 'http_keyword_validation', 'analysis', 'comprehensive', 'automated');
CREATE TYPE campaign_status AS ENUM
    ('pending', 'queued', 'running', 'pausing', 'paused', 'completed', 'failed', 'cancelled', 'archived');
ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_campaign_type, DROP CONSTRAINT chk_campaigns_status,
    ALTER campaign_type DROP DEFAULT, ALTER status DROP DEFAULT,
    ALTER campaign_type TYPE "campaign kind" USING campaign_type::"campaign kind",
    ALTER status TYPE campaign_status USING status::campaign_status,
    ALTER campaign_type SET DEFAULT 'domain_generation', ALTER status SET DEFAULT 'pending';
CREATE INDEX idx_campaigns_user_active ON campaigns (user_id, status) WHERE status IN ('running', 'pending');
"""
FEW_LABELS = f"""
{FREE_TYPES};
CREATE TYPE campaign_kind AS ENUM ('domain_generation', 'dns_validation', 'http_keyword_validation');
CREATE TYPE campaign_status AS ENUM ('pending', 'running', 'completed', 'failed', 'cancelled', 'pausing');
UPDATE campaigns SET campaign_type = 'domain_generation' WHERE campaign_type IN ('analysis', 'comprehensive', 'automated');
UPDATE campaigns SET status = 'pending' WHERE status IN ('queued', 'archived', 'paused');
ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_campaign_type, DROP CONSTRAINT chk_campaigns_status,
    ALTER campaign_type DROP DEFAULT, ALTER status DROP DEFAULT,
    ALTER campaign_type TYPE campaign_kind USING campaign_type::campaign_kind,
    ALTER status TYPE campaign_status USING status::campaign_status;
"""
DOMAIN_AND_SHORT = f"""
{FREE_TYPES};
CREATE DOMAIN campaign_kind AS text
    CHECK (VALUE IN ('domain_generation', 'dns_validation', 'http_keyword_validation', 'comprehensive', 'automated'));
UPDATE campaigns SET campaign_type = 'domain_generation' WHERE campaign_type = 'analysis';
ALTER TABLE campaigns ALTER campaign_type TYPE campaign_kind, ALTER status TYPE varchar(9);
"""
# No operator compares a domain over an enum with a word: who has one casts it.
DOMAINS_OVER_ENUMS = f"""
{ENUMS};
DROP INDEX idx_campaigns_user_active;
CREATE DOMAIN campaign_kind AS "campaign kind" CHECK (VALUE <> 'analysis');
CREATE DOMAIN "state in use" AS campaign_status CHECK (VALUE <> 'archived');
CREATE DOMAIN campaign_state AS "state in use" CONSTRAINT never_paused CHECK (VALUE::text <> 'paused');
UPDATE campaigns SET campaign_type = 'comprehensive' WHERE campaign_type = 'analysis';
UPDATE campaigns SET status = 'completed' WHERE status IN ('archived', 'paused');
ALTER TABLE campaigns ALTER campaign_type TYPE campaign_kind, ALTER status TYPE campaign_state;
CREATE VIEW kinds AS
    SELECT id, campaign_type, status, status::text AS words FROM campaigns WHERE status::campaign_status > 'queued';
CREATE INDEX idx_campaigns_user_active ON campaigns (user_id, status) WHERE status::campaign_status IN ('running', 'pending');
ALTER TABLE campaigns ADD CONSTRAINT not_archived CHECK (status::text <> 'archived');
"""
NULLS = """
ALTER TABLE campaigns ALTER campaign_type DROP NOT NULL, ALTER status DROP NOT NULL;
UPDATE campaigns SET campaign_type = NULL WHERE id IN (SELECT id FROM campaigns ORDER BY id LIMIT 5);
UPDATE campaigns SET status = NULL WHERE id IN (SELECT id FROM campaigns ORDER BY id LIMIT 3);
"""
PARTLY_FILLED = """
ALTER TABLE campaigns ADD current_phase varchar(50), ADD phase_status varchar(50) DEFAULT 'not_started',
    ADD domains bigint, ADD progress numeric(6, 3);
UPDATE campaigns SET current_phase = CASE WHEN campaign_type = 'domain_generation' THEN 'generation' END,
    phase_status = CASE WHEN status IN ('pending', 'queued') THEN 'not_started' END, progress = 12.345;
CREATE INDEX by_phase ON campaigns (current_phase);
CREATE VIEW phases AS SELECT id, current_phase, phase_status, progress FROM campaigns;
"""
PHASES_ENUM = """
CREATE TYPE campaign_phase AS ENUM ('analysis', 'setup', 'generation', 'dns_validation', 'http_keyword_validation', 'later');
CREATE DOMAIN phase_state AS varchar(30) CHECK (VALUE IN ('not_started', 'in_progress', 'paused', 'completed', 'failed'));
ALTER TABLE campaigns ADD current_phase campaign_phase, ADD phase_status phase_state;
UPDATE campaigns SET phase_status = 'completed' WHERE status = 'completed';
"""
OTHER_FIGURES = """
ALTER TABLE campaigns ADD domains integer NOT NULL DEFAULT 0, ADD leads integer CHECK (leads >= 0),
    ADD progress double precision DEFAULT 0, ADD dns_validated_domains integer, ADD http_validated_domains numeric;
UPDATE campaigns SET leads = 7, progress = 3.25, dns_validated_domains = 3;
ALTER TABLE campaigns ALTER dns_validated_domains SET NOT NULL;
CREATE INDEX by_leads ON campaigns (leads);
COMMENT ON COLUMN campaigns.leads IS 'how many';
GRANT UPDATE (leads) ON campaigns TO campaign_app;
"""
EXTRAS = """
CREATE TYPE pair AS (a integer, b text);
ALTER TABLE campaigns ADD serial_no bigint GENERATED ALWAYS AS IDENTITY, ADD tags text[] DEFAULT '{a,b}' NOT NULL,
    ADD extra jsonb NOT NULL DEFAULT '{}', ADD both_of pair, ADD plain json, ADD place point,
    ADD name_length integer GENERATED ALWAYS AS (length(name)) STORED, ADD "Odd Name" text, ADD revision integer DEFAULT 0;
UPDATE campaigns SET both_of = ROW(1, 'x'), plain = '{"a": 1}', place = '(1,2)';
CREATE FUNCTION stamp_revision() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.revision := NEW.revision + 1; NEW."Odd Name" := clock_timestamp()::text; RETURN NEW; END';
CREATE TRIGGER stamp_revision BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION stamp_revision();
ALTER TABLE campaign_events ALTER CONSTRAINT campaign_events_campaign_id_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE generated_domains ALTER CONSTRAINT generated_domains_campaign_fkey DEFERRABLE INITIALLY DEFERRED;
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE UNIQUE INDEX identity ON campaigns (id, status);
ALTER TABLE campaigns REPLICA IDENTITY USING INDEX identity;
CREATE TABLE kinds (kind text PRIMARY KEY);
INSERT INTO kinds SELECT DISTINCT campaign_type FROM campaigns;
ALTER TABLE campaigns ADD CONSTRAINT "of a kind" FOREIGN KEY (campaign_type) REFERENCES kinds DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT "of a kind" ON campaigns IS 'six kinds';
"""
DOMAIN_TYPES = """
CREATE TYPE check_state AS ENUM ('pending', 'ok', 'error', 'timeout');
DROP INDEX idx_generated_domains_campaign_created, idx_generated_domains_name_details;
DROP TRIGGER check_generated_domains_ranges ON generated_domains;
ALTER TABLE generated_domains DROP CONSTRAINT chk_generated_domains_dns_status,
    ALTER dns_status TYPE check_state USING dns_status::check_state, ALTER http_status TYPE varchar(10),
    ALTER lead_score TYPE double precision, ALTER offset_index TYPE integer;
"""
NOTHING_MORE = "ALTER TABLE campaigns DROP COLUMN launch_sequence; DROP TABLE campaign_jobs"
USERS_ELSEWHERE = "CREATE SCHEMA auth; ALTER TABLE users SET SCHEMA auth"
USERS_UNNAMED = f"{USERS_ELSEWHERE}; ALTER TABLE campaigns DROP CONSTRAINT campaigns_user_id_fkey"

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "enums, users in auth": (f"{ENUMS}; {USERS_ELSEWHERE}", {}),
    "enums with few labels": (FEW_LABELS, {}),
    "a domain and a short varchar, no launch_sequence, no campaign_jobs": (f"{DOMAIN_AND_SHORT}; {NOTHING_MORE}", {}),
    "domains over enums": (DOMAINS_OVER_ENUMS, {}),
    "NULLs that are mapped, users in auth without a foreign key": (
        f"{NULLS}; {USERS_UNNAMED}",
        {"map_null_campaign_type": "analysis", "map_null_status": "failed"},
    ),
    "phases partly filled, in varchar and a wide numeric": (PARTLY_FILLED, {}),
    "phases in an enum and a domain": (PHASES_ENUM, {}),
    "figures of other types": (OTHER_FIGURES, {}),
    "columns, triggers and constraints of all kinds, all tables published": (EXTRAS, {}),
    "domains with an enum, a varchar and double precision": (DOMAIN_TYPES, {}),
}

UNPARTITION = """
ALTER TABLE lead_items DROP CONSTRAINT lead_items_domain_id_fkey;
ALTER TABLE domain_tags DROP CONSTRAINT domain_tags_domain_id_fkey;
ALTER TABLE keyword_extractions DROP CONSTRAINT keyword_extractions_domain_id_fkey;
ALTER TABLE generated_domains RENAME TO old_domains;
"""
REFILL = """
INSERT INTO generated_domains SELECT * FROM old_domains;
DROP TABLE old_domains;
ALTER TABLE generated_domains ADD CONSTRAINT generated_domains_fk FOREIGN KEY (domain_generation_campaign_id)
    REFERENCES campaigns (id) ON DELETE CASCADE;
CREATE INDEX by_campaign ON generated_domains (domain_generation_campaign_id, created_at);
"""
RANKING = "(lead_score DESC, id) INCLUDE (domain_name, domain_generation_campaign_id) WHERE lead_score > 0"
HASHED = (
    UNPARTITION
    + """
CREATE TABLE generated_domains (LIKE old_domains INCLUDING DEFAULTS, PRIMARY KEY (domain_generation_campaign_id, id))
    PARTITION BY HASH (domain_generation_campaign_id);
"""
    + "".join(
        f"CREATE TABLE generated_domains_p{n} PARTITION OF generated_domains FOR VALUES WITH (MODULUS 3, REMAINDER {n});"
        for n in range(3)
    )
    + REFILL
)
# Two levels, a schema and names that need quoting, and names that leave no room for more.
RANGED = (
    UNPARTITION
    + """
CREATE SCHEMA "Old Parts";
CREATE TABLE generated_domains (LIKE old_domains INCLUDING DEFAULTS) PARTITION BY RANGE (offset_index);
CREATE TABLE "Old Parts"."first 20" PARTITION OF generated_domains FOR VALUES FROM (0) TO (20);
CREATE TABLE further PARTITION OF generated_domains FOR VALUES FROM (20) TO (1000000)
    PARTITION BY HASH (domain_generation_campaign_id);
CREATE TABLE further_0 PARTITION OF further FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE further_1 PARTITION OF further FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE a_very_long_name_of_a_default_partition_that_leaves_no_room_end PARTITION OF generated_domains DEFAULT;
"""
    + REFILL
)

BLOCKED = {
    "metrics in smallint": ("ALTER TABLE campaigns ADD leads smallint", "campaigns.leads is smallint"),
    "figures that a view reads": (
        "ALTER TABLE campaigns ADD leads integer; CREATE VIEW lead_board AS SELECT leads FROM campaigns",
        "because of rule _RETURN on view lead_board",
    ),
    "a phase that is generated": (
        "ALTER TABLE campaigns ADD current_phase text GENERATED ALWAYS AS ('setup') STORED",
        "campaigns.current_phase is text: it is generated",
    ),
    "a phase in char(n)": ("ALTER TABLE campaigns ADD current_phase char(30)", "current_phase is character(30)"),
    "a phase whose enum lacks a label": (
        (
            "CREATE TYPE phase AS ENUM ('setup', 'generation', 'dns_validation', 'analysis');"
            "ALTER TABLE campaigns ADD current_phase phase"
        ),
        "does not allow 'http_keyword_validation'",
    ),
    "a status that nothing stands for": (
        (
            "ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_status; UPDATE campaigns SET status = 'pending';"
            "ALTER TABLE campaigns ADD CHECK (status IN ('pending', 'completed', 'failed', 'paused'))"
        ),
        "campaigns.status allows none of running",
    ),
    "a domain that fills a column by itself": (
        (
            f"{FREE_TYPES}; CREATE DOMAIN state AS text NOT NULL DEFAULT 'pending'; CREATE DOMAIN status AS state;"
            "ALTER TABLE campaigns ALTER status DROP DEFAULT, ALTER status TYPE status"
        ),
        "campaigns.status is of the domain status, which has a DEFAULT and NOT NULL of its own",
    ),
    "a domain status in a domain over an enum": (
        f"{DOMAIN_TYPES}; CREATE DOMAIN checked AS check_state; ALTER TABLE generated_domains ALTER dns_status TYPE checked",
        "generated_domains.dns_status is of the domain checked over an enum",
    ),
    "a typed table": (
        (
            "DO $$ BEGIN EXECUTE (SELECT format('CREATE TYPE campaign_row AS (%s)', string_agg(format('%I %s', attname,"
            " format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)) FROM pg_attribute"
            " WHERE attrelid = 'campaigns'::regclass AND attnum > 0); END $$; ALTER TABLE campaigns OF campaign_row"
        ),
        "campaigns is a table OF campaign_row, to which PostgreSQL adds no column",
    ),
    "a trigger that suppresses what changes nothing": (
        (
            "CREATE TRIGGER z_min_update BEFORE UPDATE ON campaigns FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
        "trigger z_min_update on campaigns suppresses updates that change nothing",
    ),
    "a trigger that is told the columns": (
        (
            "ALTER TABLE campaigns ADD words tsvector; CREATE TRIGGER words BEFORE INSERT OR UPDATE ON campaigns FOR EACH ROW"
            " EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.english', name, status)"
        ),
        "trigger words on campaigns hands status to tsvector_update_trigger",
    ),
    "an inheritance child": (
        "CREATE TABLE more_domains () INHERITS (generated_domains)",
        "generated_domains is part of an inheritance tree",
    ),
    "a foreign partition": (
        RANGED.replace("PARTITION OF generated_domains DEFAULT", "(LIKE old_domains)")
        + "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;"
        "ALTER TABLE generated_domains DROP CONSTRAINT generated_domains_fk;"
        "CREATE FOREIGN TABLE far_domains PARTITION OF generated_domains DEFAULT SERVER far",
        "foreign tables among its partitions or children: far_domains",
    ),
}

OURS = """
SELECT c.oid, c.oid::regclass::text AS name, c.relkind, c.relacl, c.relowner FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND c.relkind IN ('r', 'v', 'S')
    AND (coalesce(obj_description(c.oid, 'pg_class'), '') LIKE 'phases migration: %' OR c.relname ~ 'migration_|_metric')
"""
OUR_FUNCTIONS = r"""
SELECT p.oid::regprocedure::text AS name, p.proacl, p.proowner FROM pg_proc AS p
WHERE p.pronamespace >= 2200 AND p.proname ~ '^(migration_|campaign_metrics_|campaigns_keep_row|phases_index|maintain_phases)'
"""
WITHOUT_KEY = f"""
SELECT o.name FROM ({OURS}) AS o WHERE o.relkind = 'r'
    AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = o.oid AND i.indisprimary)
"""
GIVEN_TO_PUBLIC = f"""
SELECT o.name FROM ({OURS}) AS o CROSS JOIN LATERAL aclexplode(o.relacl) AS g WHERE g.grantee = 0
UNION SELECT f.name FROM ({OUR_FUNCTIONS}) AS f
    CROSS JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS g WHERE g.grantee = 0
"""
OWNERS = f"""
SELECT DISTINCT pg_get_userbyid(o.relowner)::text FROM ({OURS}) AS o
UNION SELECT pg_get_userbyid(f.proowner)::text FROM ({OUR_FUNCTIONS}) AS f
"""
TIES = f"""
SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND conrelid IN (SELECT o.oid FROM ({OURS}) AS o)
"""


@pytest.fixture
async def chain(sample_factory: SampleFactory) -> Chain:
    return Chain(await sample_factory(**SMALL))


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_shape_goes_up_and_comes_back_as_it_was(chain: Chain, shape: str) -> None:
    statements, chain.options = SHAPES[shape]
    await chain.execute(statements)
    report = await chain.preflight()
    assert not report.blockers, report.blockers
    await chain.there_and_back()


async def test_rules_that_are_not_enforced_forbid_nothing(chain: Chain) -> None:
    rules = (
        "ALTER TABLE campaigns ADD CONSTRAINT a CHECK (name = 'nobody') NOT ENFORCED,"
        " ADD CONSTRAINT b CHECK (status = 'nothing') NOT ENFORCED"
    )
    if (await chain.values("SELECT current_setting('server_version_num')::integer"))[0] < 180_000:
        with pytest.raises(asyncpg.PostgresSyntaxError):  # they came with PostgreSQL 18
            await chain.execute(rules)
        return
    await chain.execute(rules)
    assert not (await chain.preflight()).blockers
    await chain.there_and_back()


async def test_a_schema_and_a_search_path_that_need_care(sample_factory: SampleFactory) -> None:
    chain = Chain(await sample_factory(**SMALL, schema="Campaign Data"), "Campaign Data")
    await chain.execute(
        "CREATE TABLE public.campaigns (id integer); CREATE TABLE public.generated_domains (id integer);"
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public', current_database()); END $$"
    )
    assert not (await chain.preflight()).blockers
    await chain.there_and_back()


@pytest.mark.parametrize("shape", BLOCKED)
async def test_what_cannot_be_migrated_is_refused_by_name(chain: Chain, shape: str) -> None:
    statements, named = BLOCKED[shape]
    await chain.execute(statements)
    report = await chain.preflight()
    assert any(named in finding.message for finding in report.blockers), report.findings


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("RETURN NULL", "One of these returns NULL: check_campaigns_ranges, only_open"),
        ("RAISE 'it is closed'", "it is closed. It was raised by PL/pgSQL function only_open() line 1 at"),
    ],
)
async def test_a_trigger_that_keeps_rows_from_being_filled_is_named_and_nothing_is_lost(
    chain: Chain, body: str, said: str
) -> None:
    await chain.execute(
        "CREATE FUNCTION only_open() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN IF OLD.status = 'completed' THEN {body}; END IF; RETURN NEW; END$$",
        "CREATE TRIGGER only_open BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION only_open()",
    )
    with pytest.raises(errors.StepFailed) as failed:
        await chain.transform()
    assert said in str(failed.value)
    await chain.execute("ALTER TABLE campaigns DISABLE TRIGGER only_open")
    await chain.transform()
    assert await chain.values(MISCOUNTED) == []


async def test_a_way_back_that_a_trigger_holds_up_without_a_word_says_so_and_goes_on_later(chain: Chain) -> None:
    await chain.execute(
        "ALTER TABLE campaigns ADD current_phase text, ADD phase_status text, ADD progress numeric(5, 2), ADD domains bigint,"
        " ADD leads bigint, ADD dns_validated_domains bigint, ADD http_validated_domains bigint"
    )
    schema = chain.dump()
    await chain.up()
    await chain.execute(
        "CREATE TRIGGER a_min_update BEFORE UPDATE ON campaigns FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    with pytest.raises(errors.StepFailed, match="One of the BEFORE UPDATE triggers of campaigns returns NULL"):
        await chain.down()
    await chain.execute("DROP TRIGGER a_min_update ON campaigns")
    await chain.down()
    assert chain.dump() == schema


async def test_a_test_that_the_application_s_own_rule_refuses_is_skipped_and_says_so(chain: Chain) -> None:
    await chain.execute(
        "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'campaigns stay'; END$$",
        "CREATE TRIGGER never BEFORE DELETE ON campaigns FOR EACH ROW EXECUTE FUNCTION never()",
    )
    await chain.up()
    assert await chain.judge() == []
    skipped = "SELECT test_name || ': ' || details FROM migration_integration_test_report WHERE status = 'SKIPPED'"
    found = [line for line in await chain.values(skipped) if "campaigns stay" in line]
    assert [line.partition(":")[0] for line in found] == ["deleting_a_campaign_deletes_its_domains"]
    assert "a rule of the application's own" in found[0]


async def test_phases_that_the_legacy_model_cannot_say_read_as_the_nearest_it_can(chain: Chain) -> None:
    await chain.execute(FEW_LABELS)
    nearest = [finding.message for finding in (await chain.preflight()).warnings if finding.code == "inverse-nearest"]
    assert len(nearest) == 2
    assert "does not allow 'analysis'" in nearest[0]
    assert "'http_keyword_validation'" in nearest[0]
    assert "does not allow 'paused'" in nearest[1]
    await chain.transform()
    one = (await chain.values("SELECT id FROM campaigns WHERE campaign_type = 'dns_validation' LIMIT 1"))[0]
    await chain.execute(f"UPDATE campaigns SET current_phase = 'analysis', phase_status = 'paused' WHERE id = '{one}'")
    read = (
        f"SELECT concat_ws(' ', campaign_type, status, current_phase, phase_status) FROM campaigns WHERE id = '{one}'"
    )
    assert await chain.values(read) == ["http_keyword_validation pausing analysis paused"]
    await chain.up()
    await chain.down()
    assert await chain.values(read.replace(", current_phase, phase_status", "")) == ["http_keyword_validation pausing"]


async def test_replaced_figures_show_ours_and_come_back_with_what_was_written_since(chain: Chain) -> None:
    await chain.execute(OTHER_FIGURES)
    assert "phases-column-replaced" in {finding.code for finding in (await chain.preflight()).warnings}
    await chain.up()
    leads = "FROM pg_attribute WHERE attrelid = 'campaigns'::regclass AND attname = 'leads'"
    types = f"SELECT format_type(atttypid, atttypmod) {leads}"
    assert await chain.values(types) == ["bigint"]
    assert await chain.values(f"SELECT col_description('campaigns'::regclass, attnum) {leads}") == ["how many"]
    assert await chain.values("SELECT has_column_privilege('campaign_app', 'campaigns', 'leads', 'UPDATE')") == [True]
    made = str(uuid.uuid4())
    await chain.execute(
        f"INSERT INTO campaigns (id, name, user_id) SELECT '{made}', 'new', user_id FROM campaigns LIMIT 1",
        f"INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, lead_score) VALUES ('{made}', 'x.test', 9)",
    )
    await chain.down()
    assert await chain.values(types) == ["integer"]
    assert await chain.values(f"SELECT leads FROM campaigns WHERE id = '{made}'") == [1]
    assert set(await chain.values(f"SELECT leads FROM campaigns WHERE id <> '{made}'")) == {7}


# Partitions.


@pytest.mark.parametrize("partitions", ["hash", "range"])
async def test_partitioned_domains_are_indexed_part_by_part_and_counted_whoever_writes_where(
    chain: Chain, partitions: str
) -> None:
    await chain.execute(HASHED if partitions == "hash" else RANGED)
    assert not (await chain.preflight()).blockers
    await chain.there_and_back()
    await chain.up()
    unattached = """
        SELECT p.relid::regclass::text FROM pg_partition_tree('generated_domains') AS p
        WHERE p.isleaf AND NOT EXISTS (
            SELECT FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
            WHERE i.indrelid = p.relid AND i.indisvalid
                AND pg_partition_root(i.indexrelid) = 'idx_domains_campaign_validation_primary'::regclass)
        """
    assert await chain.values(unattached) == []
    leaves = await chain.values("SELECT relid::regclass::text FROM pg_partition_tree('generated_domains') WHERE isleaf")
    filled = [leaf for leaf in leaves if (await chain.values(f"SELECT EXISTS (SELECT FROM {leaf})"))[0]]
    assert len(filled) >= 2
    for leaf in leaves:
        await chain.execute(
            f"UPDATE {leaf} SET dns_status = 'ok' WHERE offset_index % 2 = 0",
            f"INSERT INTO {leaf} SELECT (jsonb_populate_record(t, jsonb_build_object("
            f"'id', gen_random_uuid(), 'domain_name', 'x' || t.domain_name))).* FROM {leaf} AS t LIMIT 3",
            f"DELETE FROM {leaf} WHERE lead_score > 50",
        )
        assert await chain.values(MISCOUNTED) == []
    await chain.execute(f"TRUNCATE {filled[0]}")
    assert await chain.values(MISCOUNTED) == []
    await chain.execute(
        "UPDATE generated_domains SET http_status = 'ok', offset_index = offset_index + 15",
        "DELETE FROM campaigns WHERE id IN (SELECT id FROM campaigns ORDER BY domains DESC LIMIT 2)",
        "UPDATE generated_domains SET domain_generation_campaign_id = (SELECT id FROM campaigns ORDER BY id LIMIT 1)"
        " WHERE offset_index < 20",
    )
    assert await chain.values(MISCOUNTED) == []
    await chain.execute("TRUNCATE generated_domains")
    assert await chain.values(MISCOUNTED) == []
    assert await chain.values("SELECT count(*) FROM campaign_metric_changes") == [0]


@pytest.mark.parametrize("partitions", ["hash", "range"])
async def test_a_merge_into_partitions_that_inserts_before_it_updates_is_counted(chain: Chain, partitions: str) -> None:
    if (await chain.values("SELECT current_setting('server_version_num')::integer"))[0] < 150_000:
        pytest.skip("needs MERGE, which came with PostgreSQL 15")
    await chain.execute(HASHED if partitions == "hash" else RANGED)
    await chain.up()
    # A nested loop keeps the order of the rows: inserts first.
    await chain.execute(
        "SET enable_hashjoin = off; SET enable_mergejoin = off;"
        "MERGE INTO generated_domains AS t USING ("
        "  SELECT true AS is_new, id AS campaign, 'new-' || n AS name, NULL::uuid AS domain FROM"
        "  (SELECT id FROM campaigns ORDER BY domains DESC LIMIT 1) AS c, generate_series(1, 5) AS n"
        "  UNION ALL (SELECT false, domain_generation_campaign_id, domain_name, id FROM generated_domains"
        "             WHERE dns_status = 'ok' ORDER BY id LIMIT 40)"
        ") AS r ON t.id = r.domain"
        " WHEN MATCHED AND t.http_status = 'ok' THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET http_status = 'ok', lead_score = 1"
        " WHEN NOT MATCHED THEN INSERT (domain_generation_campaign_id, domain_name) VALUES (r.campaign, r.name)"
    )
    assert await chain.values(MISCOUNTED) == []


async def test_partitioned_domains_by_hand_are_indexed_plainly_and_come_back(chain: Chain) -> None:
    await chain.execute(RANGED)
    before, schema = await chain.checksums(), chain.dump()
    for _ in range(2):
        await chain.execute(sql_files.migration(35, "up"), sql_files.migration(36, "up"))
    assert await chain.judge() == []
    assert await chain.values(MISCOUNTED) == []
    await chain.execute(sql_files.migration(36, "down"), sql_files.migration(35, "down"))
    assert await chain.checksums() == before
    assert chain.dump() == schema


async def test_an_index_build_over_partitions_goes_on_where_it_was_killed(chain: Chain) -> None:
    await chain.execute(HASHED)
    schema = chain.dump()
    await chain.up()
    await chain.execute(
        # A part that was never attached, another that is missing, and the whole of one index that was not begun.
        "DROP INDEX idx_domains_campaign_leads, idx_domains_lead_ranking",
        f"CREATE INDEX idx_domains_lead_ranking ON ONLY generated_domains {RANKING}",
        f"CREATE INDEX generated_domains_p0_lead_ranking ON generated_domains_p0 {RANKING}",
        f"CREATE INDEX generated_domains_p1_lead_ranking ON generated_domains_p1 {RANKING}",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'generated_domains_p1_lead_ranking'::regclass",
        "ALTER INDEX idx_domains_lead_ranking ATTACH PARTITION generated_domains_p0_lead_ranking",
    )
    await chain.up()
    assert await chain.judge() == []
    await chain.execute(
        "DROP INDEX idx_domains_lead_ranking",
        f"CREATE INDEX generated_domains_p2_lead_ranking ON generated_domains_p2 {RANKING}",
    )
    await chain.down()
    assert chain.dump() == schema


async def test_a_partition_that_comes_later_is_found_and_covered(chain: Chain) -> None:
    await chain.execute(RANGED.replace("FROM (20) TO (1000000)", "FROM (20) TO (100000)"))
    await chain.up()
    await chain.execute(
        "CREATE TABLE later (LIKE generated_domains INCLUDING DEFAULTS)",
        "ALTER TABLE generated_domains ATTACH PARTITION later FOR VALUES FROM (100000) TO (200000)",
    )
    found = await maintenance.maintain(chain.database, "public", rebuild_invalid=False, limits=LockLimits())
    assert [row.index_name for row in found.found if row.action == "not counted"] == ["later"]
    failed = [failure for failure in await chain.judge() if failure.startswith("metrics_triggers_enabled")]
    assert len(failed) == 1
    assert "campaign_metrics_cover_partitions()" in failed[0]
    assert await chain.values("SELECT campaign_metrics_cover_partitions()::text") == ["later"]
    new_row = "INSERT INTO later (domain_generation_campaign_id, domain_name, offset_index, lead_score)"
    await chain.execute(f"{new_row} SELECT id, 'later.test', 150000, 1 FROM campaigns LIMIT 1")
    assert await chain.values(MISCOUNTED) == []
    assert await chain.judge() == []
    # Once detached it is a table like any other.
    await chain.execute("ALTER TABLE generated_domains DETACH PARTITION later")
    before = await chain.values("SELECT sum(domains) FROM campaigns")
    await chain.execute(f"{new_row} SELECT id, 'another.test', 150001, 1 FROM campaigns LIMIT 1")
    assert await chain.values("SELECT sum(domains) FROM campaigns") == before
    await chain.execute("TRUNCATE later")
    await chain.down()
    assert (
        await chain.values("SELECT tgname FROM pg_trigger WHERE tgrelid = 'later'::regclass AND NOT tgisinternal") == []
    )


# Roles.


@dataclass(frozen=True)
class Roles:
    """The role that owns everything, which nobody can log in as, and a member of it who can."""

    owner: str
    worker: str


@pytest.fixture
async def roles(chain: Chain) -> AsyncIterator[Roles]:
    tag = uuid.uuid4().hex[:8]
    found = Roles(f"Owner {tag}", f"worker_{tag}")
    await chain.execute(
        f"""
        CREATE ROLE "{found.owner}" NOLOGIN;
        SELECT set_config('migration.owner', '{found.owner}', false), set_config('migration.role', '{found.worker}', false);
        {MIGRATOR_ROLE.read_text()}
        ALTER ROLE {found.worker} PASSWORD 'x';
        GRANT CREATE ON DATABASE "{chain.database.database}" TO "{found.owner}";
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
        ALTER DEFAULT PRIVILEGES FOR ROLE {found.worker} GRANT ALL ON TABLES TO PUBLIC;
        ALTER DEFAULT PRIVILEGES FOR ROLE {found.worker} GRANT ALL ON SEQUENCES TO PUBLIC;
        DO $$
        DECLARE
            what record;
        BEGIN
            FOR what IN
                SELECT format('ALTER TABLE %s OWNER TO %I', oid::regclass, '{found.owner}') AS statement FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
                UNION ALL
                SELECT format('ALTER FUNCTION %s OWNER TO %I', oid::regprocedure, '{found.owner}') FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace
            LOOP
                EXECUTE what.statement;
            END LOOP;
        END
        $$;
        """
    )
    yield found
    await chain.execute(
        f'DROP OWNED BY "{found.owner}", {found.worker} CASCADE; DROP ROLE {found.worker}; DROP ROLE "{found.owner}";'
        "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC;"
        "ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM PUBLIC"
    )


def as_worker(chain: Chain, roles: Roles) -> Chain:
    login = chain.database.model_copy(update={"user": roles.worker, "password": SecretStr("x")})
    return Chain(login, owner=chain.database)


async def writes_of_an_application_count(chain: Chain) -> None:
    """As a role that may insert domains and not write campaigns."""
    await chain.execute(
        "SET ROLE campaign_app;"
        "INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, dns_status)"
        " SELECT domain_generation_campaign_id, 'new-' || domain_name, 'ok' FROM generated_domains LIMIT 5"
    )
    assert await chain.values(MISCOUNTED) == []
    await chain.execute("DELETE FROM generated_domains WHERE domain_name LIKE 'new-%'")


@pytest.mark.parametrize("who", ["a member of the owner", "a superuser"])
async def test_all_that_is_made_belongs_to_the_owner_of_the_tables_and_nothing_to_public(
    chain: Chain, roles: Roles, who: str
) -> None:
    used = chain if who == "a superuser" else as_worker(chain, roles)
    assert not (await used.preflight()).blockers
    await used.up()
    assert await used.judge() == []
    assert await chain.values(OWNERS) == [roles.owner]
    assert await chain.values(GIVEN_TO_PUBLIC) == []
    assert await chain.values(WITHOUT_KEY) == []
    assert await chain.values(TIES) == []
    await chain.execute(f'REVOKE "{roles.owner}" FROM {roles.worker}')
    await writes_of_an_application_count(chain)
    await chain.execute(f'GRANT "{roles.owner}" TO {roles.worker}')
    await used.down()
    assert await chain.values(OWNERS) == [roles.owner]
    assert await chain.values(GIVEN_TO_PUBLIC) == []
    await used.there_and_back()


async def test_what_a_role_has_set_for_its_sessions_does_no_harm(chain: Chain, roles: Roles) -> None:
    settings = {
        "statement_timeout": "60ms", "lock_timeout": "10ms", "idle_in_transaction_session_timeout": "50ms",
        "search_path": "decoy, pg_catalog", "quote_all_identifiers": "on", "DateStyle": "German, DMY",
        "IntervalStyle": "sql_standard", "default_transaction_isolation": "serializable", "row_security": "off",
        "standard_conforming_strings": "off", "transform_null_equals": "on", "bytea_output": "escape",
        "plpgsql.extra_errors": "all", "plpgsql.variable_conflict": "use_column", "default_transaction_deferrable": "on",
    }  # fmt: skip
    if (await chain.values("SELECT current_setting('server_version_num')::integer"))[0] >= 170_000:
        settings["transaction_timeout"] = "150ms"
    for name, value in settings.items():
        quoted = value if name == "search_path" else f"'{value}'"
        await chain.execute(f"ALTER ROLE {roles.worker} SET {name} = {quoted}")
    await chain.execute(
        f"CREATE SCHEMA decoy; CREATE TABLE decoy.campaigns (id integer);GRANT USAGE ON SCHEMA decoy TO {roles.worker}"
    )
    used = as_worker(chain, roles)
    assert not (await used.preflight()).blockers
    await used.there_and_back()


async def test_row_level_security_hides_nothing_from_the_migration_or_the_metrics(chain: Chain, roles: Roles) -> None:
    await chain.execute(
        "ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY; ALTER TABLE generated_domains ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY nothing ON campaigns USING (false); CREATE POLICY all_domains ON generated_domains USING (true)"
    )
    used = as_worker(chain, roles)
    assert not (await used.preflight()).blockers
    await used.up()
    assert await used.judge() == []
    await writes_of_an_application_count(chain)
    await used.down()
    await used.there_and_back()


async def test_row_level_security_that_is_forced_needs_a_role_that_bypasses_it_then_and_later(
    chain: Chain, roles: Roles
) -> None:
    await chain.execute(
        "ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY nothing ON campaigns USING (false)"
    )
    refused = (await as_worker(chain, roles).preflight()).blockers
    assert "row-security" in {finding.code for finding in refused}
    await chain.up()
    assert await chain.judge() == []
    # In the owner's hands the functions of the metrics would see no campaign.
    assert await chain.values(OWNERS) == [chain.database.user]
    assert await chain.values(GIVEN_TO_PUBLIC) == []
    await writes_of_an_application_count(chain)
    await chain.down()
    await chain.there_and_back()


# Poolers.


class Pretender:
    """A connection whose session of the server is chosen by somebody else."""

    def __init__(self, sessions: Iterator[int]) -> None:
        self._sessions = sessions

    async def fetchval(self, _query: str) -> int:
        return next(self._sessions)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield


@pytest.mark.parametrize(
    ("first", "second", "proof"),
    [
        ([7, 7], [8], None),
        ([7, 9], [7], "session 7, then in session 9"),
        ([7, 7], [7], "two connections were in session 7"),
    ],
)
async def test_sessions_that_are_shared_are_told_from_sessions_of_ones_own(
    first: list[int], second: list[int], proof: str | None
) -> None:
    one, another = (cast("Connection", Pretender(iter(sessions))) for sessions in (first, second))
    found = await pooler._find_sharing(one, another)
    assert found is None if proof is None else found is not None and proof in found


@contextmanager
def pgbouncer(database: Database, mode: str, directory: Path) -> Iterator[Database]:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        message = "needs pgbouncer: apt-get install pgbouncer; .ci/run has it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password = database.password.get_secret_value() if database.password else ""
    (directory / "users").write_text(f'"{database.user}" "{password}"\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={database.host} port={database.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = plain\nauth_file = {directory}/users\npool_mode = {mode}\nunix_socket_dir =\n"
    )
    running = subprocess.Popen(
        [program, "-u", "nobody", str(directory / "pgbouncer.ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield database.model_copy(update={"port": port, "tls_mode": "disable"})
    finally:
        running.terminate()
        running.wait()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_sessions_is_refused(chain: Chain, mode: str, server_directory: Path) -> None:
    with pgbouncer(chain.database, mode, server_directory) as pooled:
        with pytest.raises(errors.TransactionPooling, match="session of the server"):
            await Chain(pooled).preflight()


async def test_a_pooler_in_session_mode_is_as_good_as_none(chain: Chain, server_directory: Path) -> None:
    with pgbouncer(chain.database, "session", server_directory) as pooled:
        used = Chain(pooled, owner=chain.database)
        assert not (await used.preflight()).blockers
        await used.there_and_back()
