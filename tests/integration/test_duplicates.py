"""Indexes and foreign keys that say again what another one says go, with writers at work, and come back as they were."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from tasks.core import core_migrations, rollback, run, sql_files, transform
from tasks.core.database import Database, connect
from tasks.core.duplicates import Duplicate, find_duplicates, find_indexes
from tasks.core.duplicates_online import drop_duplicates, restore_duplicates
from tasks.core.plan import make_plan
from tasks.core.progress import unheard
from tasks.core.settings import LockLimits, MigrateParameters, RollbackParameters
from tests.conftest import SampleFactory
from tests.integration.test_collisions import do, go_back, look, migrate
from tests.integration.test_dependents import dump

# Of the sample database: an equal one, prefixes, and a predicate that a check constraint implies.
SAMPLE = {
    "idx_campaigns_user_id", "idx_campaigns_created_recent", "idx_generated_domains_name",
    "idx_generated_domains_campaign_offset_valid",
}  # fmt: skip
KEYS = """
ALTER TABLE generated_domains
    ADD CONSTRAINT fk_domains_campaign_again FOREIGN KEY (domain_generation_campaign_id)
        REFERENCES campaigns (id) ON DELETE CASCADE NOT VALID,
    ADD CONSTRAINT fk_domains_campaign_other FOREIGN KEY (domain_generation_campaign_id) REFERENCES campaigns (id);
ALTER TABLE campaign_jobs
    ADD CONSTRAINT "Jobs' campaign" FOREIGN KEY (campaign_id) REFERENCES campaigns (id) ON DELETE CASCADE;
COMMENT ON CONSTRAINT "Jobs' campaign" ON campaign_jobs IS 'twice';
ALTER TABLE campaigns DROP CONSTRAINT campaigns_user_id_fkey;
ALTER TABLE campaigns
    ADD CONSTRAINT a_first FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL NOT VALID,
    ADD CONSTRAINT b_second FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL,
    ADD CONSTRAINT c_deferred FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL DEFERRABLE;
"""
DROPPED_KEYS = {"fk_domains_campaign_again", "Jobs' campaign", "a_first"}
INDEX_SIZE = """
SELECT sum(pg_relation_size(indexrelid))::bigint FROM pg_index
WHERE indrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)
"""


async def names_of_duplicates(database: Database, statements: str) -> set[str]:
    """What is superfluous once the statements have run, beside what is superfluous in the sample."""
    async with connect(database, schema="public") as connection:
        await connection.execute(statements)
        return {one.name for one in await find_indexes(connection, {})} - SAMPLE


@pytest.fixture
async def legacy_database(sample_factory: SampleFactory) -> Database:
    """The small sample; of its two equal indexes, which two sessions have built, this one is the younger."""
    database = await sample_factory()
    await do(
        database,
        "DROP INDEX idx_campaigns_created_recent; CREATE INDEX idx_campaigns_created_recent ON campaigns (created_at DESC)",
    )
    return database


@pytest.fixture
async def tablespace(server: Database) -> AsyncIterator[str]:
    """A tablespace beside the server's data, dropped afterwards: ask for it before the database that uses it."""
    name = f"elsewhere_{uuid.uuid4().hex[:8]}"
    async with connect(server) as connection:
        await connection.execute("SET allow_in_place_tablespaces = on")
        await connection.execute(f"CREATE TABLESPACE {name} LOCATION ''")
    yield name
    async with connect(server) as connection:
        await connection.execute(f"DROP TABLESPACE {name}")


async def test_superfluous_indexes_go_and_come_back_exactly(tablespace: str, legacy_database: Database) -> None:
    await do(
        legacy_database,
        f"""
        COMMENT ON INDEX idx_generated_domains_name IS 'it''s for the search';
        CREATE INDEX "Lower" ON generated_domains (lower(domain_name), tld) WITH (fillfactor = 70) TABLESPACE {tablespace};
        CREATE INDEX "lower; again" ON generated_domains (lower(domain_name)) TABLESPACE {tablespace};
        ALTER INDEX "lower; again" ALTER COLUMN 1 SET STATISTICS 250;
        """,
    )
    schema = dump(legacy_database)
    async with connect(legacy_database, schema="public") as connection:
        foreseen = {one.name: one for one in await find_duplicates(connection, {})}
        size = await connection.fetchval(INDEX_SIZE)
    assert {*foreseen} == SAMPLE | {"lower; again"}
    assert foreseen["lower; again"].reason == "Lower begins with the same columns"
    assert foreseen["idx_campaigns_user_id"].reason.endswith(
        "idx_campaigns_user_dashboard begins with the same columns (it comes with 000036)"
    )
    assert foreseen["idx_campaigns_created_recent"].reason == "idx_campaigns_created_at has the same columns"
    assert foreseen["idx_generated_domains_name"].reason.startswith("idx_generated_domains_name_")
    assert "no row outside (offset_index >= 0)" in foreseen["idx_generated_domains_campaign_offset_valid"].reason
    assert all(one.bytes > 0 for one in foreseen.values())

    await migrate(legacy_database)
    async with connect(legacy_database) as connection:
        recorded = await connection.fetch("SELECT identity FROM migration_saved_objects WHERE kind = 'duplicate index'")
        assert {row["identity"] for row in recorded} == {*foreseen}
        assert not await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = ANY ($1)", [*foreseen])
        assert await connection.fetchval(INDEX_SIZE) < size
    await go_back(legacy_database)
    assert dump(legacy_database) == schema


async def test_by_hand_000035_down_brings_them_back_itself(legacy_database: Database) -> None:
    await do(legacy_database, KEYS + "COMMENT ON INDEX idx_campaigns_user_id IS 'users'")
    schema = dump(legacy_database)
    await migrate(legacy_database)
    assert dump(legacy_database) != schema
    for version in (36, 35):
        await do(legacy_database, sql_files.migration(version, "down"))
    assert dump(legacy_database) == schema


async def test_foreign_keys_that_say_the_same_twice_go_and_come_back(legacy_database: Database) -> None:
    await do(legacy_database, KEYS)
    schema = dump(legacy_database)
    report = await look(legacy_database)
    warned = [finding for finding in report.warnings if finding.code == "duplicate-foreign-key"]
    assert {finding.keys[0] for finding in warned} == DROPPED_KEYS
    (first,) = [finding for finding in warned if finding.keys == ["a_first"]]
    assert "b_second says the same: FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL" in first.message
    holds = await migrate(legacy_database)
    async with connect(legacy_database) as connection:
        assert not await connection.fetch("SELECT FROM pg_constraint WHERE conname = ANY ($1)", [*DROPPED_KEYS])
        for kept in ("fk_domains_campaign_other", "b_second", "c_deferred", "campaign_jobs_campaign_id_fkey"):
            assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname = $1", kept) == 1, kept
    assert {hold.statement for hold in holds} > {
        'ALTER TABLE public.campaign_jobs DROP CONSTRAINT "Jobs\' campaign"',
        "ALTER TABLE public.campaigns DROP CONSTRAINT a_first",
    }
    await go_back(legacy_database)
    assert dump(legacy_database) == schema


async def test_the_parameter_keeps_them(legacy_database: Database) -> None:
    await do(legacy_database, KEYS)
    report = await look(legacy_database, keep_duplicates=True)
    assert not [finding for finding in report.warnings if finding.code.startswith("duplicate-")]
    await migrate(legacy_database, keep_duplicates=True)
    async with connect(legacy_database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = ANY ($1)", [*SAMPLE]) == len(
            SAMPLE
        )
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname = ANY ($1)", [*DROPPED_KEYS])
            == 3
        )


async def test_preflight_names_size_scans_and_reason(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        for _ in range(3):
            await connection.execute("SELECT FROM generated_domains WHERE tld = 'x' AND domain_name = 'y'")
            await connection.execute("SELECT domain_name FROM generated_domains WHERE domain_name = 'y'")
    await asyncio.sleep(1.2)  # a session's statistics arrive at the latest when it ends, and after a second
    report = await look(legacy_database)
    found = {finding.keys[0]: finding for finding in report.warnings if finding.code == "duplicate-index"}
    assert {*found} == SAMPLE
    message = found["idx_generated_domains_name"].message
    assert "MB, " in message
    assert "scans on this server since" in message
    assert "--keep-duplicates" in found["idx_generated_domains_name"].remedy


@pytest.mark.parametrize(
    ("statements", "superfluous"),
    [
        pytest.param("CREATE UNIQUE INDEX u ON generated_domains (id, domain_name)", set(), id="unique"),
        pytest.param(
            "CREATE INDEX a ON generated_domains (tld, dns_ip); CREATE UNIQUE INDEX u ON generated_domains (tld, dns_ip, id)",
            {"a"},
            id="prefix of a unique one",
        ),
        pytest.param(
            "CREATE INDEX a ON generated_domains (id); CREATE INDEX b ON generated_domains (id)",
            {"a", "b"},
            id="primary key",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name); CREATE INDEX b ON campaigns (name DESC)", set(), id="another order"
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name NULLS FIRST); CREATE INDEX b ON campaigns (name)",
            set(),
            id="place of NULLs",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name text_pattern_ops); CREATE INDEX b ON campaigns (name)",
            set(),
            id="operator class",
        ),
        pytest.param(
            'CREATE INDEX a ON campaigns (name COLLATE "C"); CREATE INDEX b ON campaigns (name COLLATE "POSIX")',
            set(),
            id="collation",
        ),
        pytest.param("CREATE INDEX a ON campaigns USING hash (created_at)", set(), id="access method"),
        pytest.param("CREATE INDEX a ON campaigns (last_heartbeat_at)", set(), id="a partial one serves for less"),
        pytest.param(
            "CREATE INDEX a ON campaigns (name) WHERE archived_at IS NULL; CREATE INDEX b ON campaigns (name, user_id)",
            set(),
            id="a predicate that is not implied",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name) WHERE created_at IS NOT NULL; CREATE INDEX b ON campaigns (name, user_id)",
            {"a"},
            id="a predicate that NOT NULL implies",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name) WHERE total_items >= 0; CREATE INDEX b ON campaigns (name, user_id)",
            set(),
            id="a check that NULL passes",
        ),
        pytest.param(
            "ALTER TABLE generated_domains DROP CONSTRAINT chk_generated_domains_offset,"
            " ADD CONSTRAINT again CHECK (offset_index >= 0) NOT VALID;"
            "CREATE INDEX a ON generated_domains (tld) WHERE offset_index >= 0; CREATE INDEX b ON generated_domains (tld)",
            set(),
            id="a check that is not validated",
        ),
        pytest.param(
            "ALTER TABLE generated_domains ADD CHECK (offset_index > 0 OR true), ADD CHECK (length(domain_name) < 999);"
            "CREATE INDEX a ON generated_domains (tld) WHERE offset_index >= 0 AND length(domain_name) < 999;"
            "CREATE INDEX b ON generated_domains (tld)",
            {"a"},
            id="a predicate that two checks imply",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name) WHERE user_id IS NULL;"
            "CREATE INDEX b ON campaigns (name, id) WHERE user_id IS NULL",
            {"a"},
            id="the same predicate",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name) INCLUDE (metadata); CREATE INDEX b ON campaigns (name, user_id)",
            set(),
            id="INCLUDE columns that the other lacks",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name) INCLUDE (user_id); CREATE INDEX b ON campaigns (name, user_id)",
            {"a"},
            id="INCLUDE columns that are keys of the other",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name, user_id); CREATE INDEX b ON campaigns (name) INCLUDE (user_id)",
            {"b"},
            id="keys that are INCLUDE columns of the other",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name); CREATE INDEX b ON campaigns (name, status)",
            set(),
            id="the other goes with the legacy columns",
        ),
        pytest.param(
            "CREATE INDEX a ON campaigns (name); CREATE INDEX b ON campaigns (name, user_id); CLUSTER campaigns USING a",
            set(),
            id="clustered",
        ),
        pytest.param(
            "CREATE INDEX a ON generated_domains (tld, id); CREATE UNIQUE INDEX b ON generated_domains (tld, id);"
            "ALTER TABLE generated_domains ALTER tld SET NOT NULL, REPLICA IDENTITY USING INDEX b",
            {"a"},
            id="replica identity",
        ),
        pytest.param(
            "CREATE INDEX a ON generated_domains (domain_generation_campaign_id, dns_status)",
            {"a"},
            id="prefix of a new one",
        ),
        pytest.param(
            "CREATE INDEX a ON generated_domains (domain_generation_campaign_id) WHERE lead_score > 0",
            {"a"},
            id="partial new one",
        ),
        pytest.param("CREATE INDEX a ON campaigns (user_id DESC)", set(), id="a new one in another order"),
        pytest.param(
            "CREATE INDEX a ON campaigns (name); CREATE INDEX b ON campaigns (name); CREATE INDEX c ON campaigns (name)",
            {"b", "c"},
            id="three of a kind",
        ),
    ],
)
async def test_an_index_is_superfluous_only_where_another_does_its_work(
    legacy_database: Database, statements: str, superfluous: set[str]
) -> None:
    assert await names_of_duplicates(legacy_database, statements) == superfluous


async def test_what_was_foreseen_is_what_goes(legacy_database: Database) -> None:
    await do(
        legacy_database,
        "CREATE INDEX a ON generated_domains (domain_generation_campaign_id, dns_status);"
        "CREATE INDEX idx_campaigns_workflow_primary ON campaigns (name);"
        "CREATE INDEX b ON campaigns (name, created_at)",
    )
    report = await look(legacy_database)
    foreseen = {finding.keys[0] for finding in report.warnings if finding.code == "duplicate-index"}
    assert foreseen == SAMPLE | {"a", "idx_campaigns_workflow_primary_before_000035"}
    plan = [line.statement for line in (await make_plan(legacy_database, MigrateParameters())).statements]
    renaming = (
        "ALTER INDEX public.idx_campaigns_workflow_primary RENAME TO idx_campaigns_workflow_primary_before_000035"
    )
    assert renaming in plan
    assert {line for line in plan if line.startswith("DROP INDEX CONCURRENTLY")} == {
        f"DROP INDEX CONCURRENTLY {one}" for one in foreseen
    }
    kept = await make_plan(legacy_database, MigrateParameters(keep_duplicates=True))
    assert not [line for line in kept.statements if line.statement.startswith("DROP INDEX CONCURRENTLY")]
    schema = dump(legacy_database)
    await migrate(legacy_database)
    async with connect(legacy_database) as connection:
        recorded = await connection.fetch("SELECT identity FROM migration_saved_objects WHERE kind = 'duplicate index'")
    assert {row["identity"] for row in recorded} == foreseen
    await go_back(legacy_database)
    assert dump(legacy_database) == schema


async def test_a_drop_that_is_interrupted_is_brought_to_an_end_or_taken_back(legacy_database: Database) -> None:
    schema = dump(legacy_database)
    for ending in (migrate, go_back):
        parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
        async with run.exclusive_run(legacy_database, "public", parameters, run_id, "test"):
            await transform.transform(legacy_database, parameters, run_id, unheard)
            async with connect(legacy_database) as reader:
                # A reader that does not end keeps the drop waiting, halfway.
                transaction = reader.transaction(isolation="repeatable_read")
                await transaction.start()
                await reader.fetch("SELECT count(*) FROM campaigns")
                limits = LockLimits(statement_timeout_seconds=1)
                with pytest.raises(Exception, match="statement timeout"):
                    await drop_duplicates(legacy_database, "public", limits, run_id, unheard, keep=False)
                await transaction.rollback()
        async with connect(legacy_database) as connection:
            assert await connection.fetchval(
                "SELECT count(*) FROM pg_index AS i JOIN migration_saved_objects AS s ON s.kind = 'duplicate index'"
                " AND i.indexrelid = to_regclass(s.identity) WHERE NOT i.indisvalid"
            )
        await ending(legacy_database)
        if ending is migrate:
            async with connect(legacy_database) as connection:
                assert not await connection.fetchval(
                    "SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indrelid = 'campaigns'::regclass"
                )
            await go_back(legacy_database)
        assert dump(legacy_database) == schema


async def test_they_are_built_again_ahead_of_the_way_back_and_found_there(legacy_database: Database) -> None:
    await do(legacy_database, KEYS)
    schema = dump(legacy_database)
    await migrate(legacy_database)
    run_id, parameters = str(uuid.uuid4()), RollbackParameters(mode="apply", confirm=legacy_database.database)
    oids = """
        SELECT 'i', oid FROM pg_class WHERE relname = ANY ($1) UNION
        SELECT 'c', oid FROM pg_constraint WHERE conname = ANY ($2)
    """
    async with run.exclusive_run(legacy_database, "public", parameters, run_id, "test"):
        await restore_duplicates(legacy_database, "public", parameters.locks, run_id, unheard)
        async with connect(legacy_database) as connection:
            before = await connection.fetch(oids, [*SAMPLE], [*DROPPED_KEYS])
            assert len(before) == len(SAMPLE) + len(DROPPED_KEYS)
        await rollback.roll_back(legacy_database, parameters, run_id, unheard)
    async with connect(legacy_database) as connection:
        assert sorted(map(tuple, await connection.fetch(oids, [*SAMPLE], [*DROPPED_KEYS]))) == sorted(
            map(tuple, before)
        )
    assert dump(legacy_database) == schema


async def test_a_way_back_that_is_given_up_lets_the_way_up_drop_them_again(legacy_database: Database) -> None:
    schema = dump(legacy_database)
    await migrate(legacy_database)
    run_id, parameters = str(uuid.uuid4()), MigrateParameters(mode="apply")
    async with run.exclusive_run(legacy_database, "public", parameters, run_id, "test"):
        await restore_duplicates(legacy_database, "public", parameters.locks, run_id, unheard)
        await core_migrations.apply_core_migrations(legacy_database, parameters, run_id, unheard)
    async with connect(legacy_database) as connection:
        assert not await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = ANY ($1)", [*SAMPLE])
    await go_back(legacy_database)
    assert dump(legacy_database) == schema


async def test_one_whose_column_was_dropped_since_is_not_missed(legacy_database: Database) -> None:
    await do(
        legacy_database,
        "CREATE INDEX a ON generated_domains (dns_ip); CREATE INDEX b ON generated_domains (dns_ip);"
        "COMMENT ON INDEX b IS 'gone, too'",
    )
    await migrate(legacy_database)
    await do(legacy_database, "ALTER TABLE generated_domains DROP COLUMN dns_ip")
    await go_back(legacy_database)
    async with connect(legacy_database) as connection:
        assert not await connection.fetchval("SELECT to_regclass('b')")
        assert await connection.fetchval("SELECT to_regclass('idx_campaigns_user_id') IS NOT NULL")


async def test_a_partitioned_table_and_others_tables_keep_theirs(legacy_database: Database) -> None:
    found: list[Duplicate]
    await do(
        legacy_database,
        """
        ALTER TABLE campaign_exports RENAME TO plain_exports;
        CREATE TABLE campaign_exports (id uuid, campaign_id uuid REFERENCES campaigns (id),
            CONSTRAINT again FOREIGN KEY (campaign_id) REFERENCES campaigns (id)) PARTITION BY HASH (id);
        CREATE TABLE campaign_exports_0 PARTITION OF campaign_exports FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        """,
    )
    async with connect(legacy_database, schema="public") as connection:
        found = await find_duplicates(connection, {})
    assert {one.name for one in found} == SAMPLE
