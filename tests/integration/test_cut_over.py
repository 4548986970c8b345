"""The cut-over waits for applications that still use the legacy columns, and batches wait for those who cannot keep up."""

from __future__ import annotations

import asyncio

import pytest

from tasks.core import errors, legacy_statements
from tasks.core.database import Database, connect
from tasks.core.pace import Pacer
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters, Pace


async def hold_cut_over(database: Database, parameters: MigrateParameters) -> legacy_statements.StatementReport:
    report = await legacy_statements.look(database, "public", hours=parameters.legacy_statement_hours, record=True)
    legacy_statements.require_silence(report, parameters)
    return report


async def with_statistics(database: Database) -> None:
    async with connect(database) as connection:
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        await connection.fetchval("SELECT pg_stat_statements_reset() IS NULL")


async def test_without_statistics_nothing_holds_up_the_cut_over(legacy_database: Database) -> None:
    assert not (await hold_cut_over(legacy_database, MigrateParameters())).available


async def test_a_legacy_statement_holds_up_the_cut_over_until_it_is_accepted(legacy_database: Database) -> None:
    await with_statistics(legacy_database)
    async with connect(legacy_database) as connection:
        for _ in range(3):
            await connection.fetch("SELECT id FROM campaigns WHERE status = 'running'")
    with pytest.raises(errors.LegacyStatementsSeen, match="3x by postgres: SELECT id FROM campaigns WHERE status"):
        await hold_cut_over(legacy_database, MigrateParameters())
    accepted = await hold_cut_over(legacy_database, MigrateParameters(accept_legacy_statements=True))
    assert [found.calls for found in accepted.statements] == [3]


async def test_a_statement_that_has_fallen_silent_does_not(legacy_database: Database) -> None:
    await with_statistics(legacy_database)
    async with connect(legacy_database) as connection:
        await connection.fetch("SELECT id FROM campaigns WHERE campaign_type = 'analysis'")
        await legacy_statements.look(legacy_database, "public", hours=24, record=True)
        await connection.execute("UPDATE migration_statement_looks SET looked_at = looked_at - interval '25 hours'")
        report = await hold_cut_over(legacy_database, MigrateParameters())
        assert report.available
        assert report.statements == []
        await connection.fetch("SELECT id FROM campaigns WHERE campaign_type = 'analysis'")
    with pytest.raises(errors.LegacyStatementsSeen):
        await hold_cut_over(legacy_database, MigrateParameters())


async def test_batches_pause_while_an_old_transaction_holds_back_vacuum(legacy_database: Database) -> None:
    limits = Pace(max_transaction_age_seconds=0.1, pause_limit_seconds=60)
    async with connect(legacy_database) as connection, connect(legacy_database) as other:
        transaction = other.transaction(isolation="repeatable_read")
        await transaction.start()
        await other.fetchval("SELECT count(*) FROM campaigns")
        await asyncio.sleep(0.3)
        waiting = asyncio.create_task(Pacer(connection, limits, unheard).wait_for_others())
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done
        await transaction.rollback()
        await asyncio.wait_for(waiting, 10)


async def test_a_pause_that_lasts_too_long_names_the_session(legacy_database: Database) -> None:
    limits = Pace(max_transaction_age_seconds=0.1, pause_limit_seconds=0.1)
    async with connect(legacy_database) as connection, connect(legacy_database) as other:
        async with other.transaction(isolation="repeatable_read"):
            await other.fetchval("SELECT 4711")
            await asyncio.sleep(0.3)
            with pytest.raises(errors.PausedTooLong, match="4711"):
                await Pacer(connection, limits, unheard).wait_for_others()
