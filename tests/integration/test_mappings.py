"""Every pair of the mapping, and that random rows map as specified, in the database itself."""

from __future__ import annotations

import asyncio
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.core import sql_files
from tasks.core.database import Connection, Database, connect

PHASE_OF = {
    "domain_generation": "generation",
    "dns_validation": "dns_validation",
    "http_keyword_validation": "http_keyword_validation",
    "analysis": "analysis",
    "comprehensive": "generation",
    "automated": "generation",
}
STATUS_OF = {
    "pending": "not_started",
    "queued": "not_started",
    "running": "in_progress",
    "pausing": "paused",
    "paused": "paused",
    "completed": "completed",
    "archived": "completed",
    "failed": "failed",
    "cancelled": "failed",
}
TYPE_OF = {
    "setup": "domain_generation",
    "generation": "domain_generation",
    "dns_validation": "dns_validation",
    "http_keyword_validation": "http_keyword_validation",
    "analysis": "analysis",
}
LEGACY_STATUS_OF = {
    "not_started": "pending",
    "in_progress": "running",
    "paused": "paused",
    "completed": "completed",
    "failed": "failed",
}
FUNCTIONS = {
    "migration_map_current_phase": PHASE_OF,
    "migration_map_phase_status": STATUS_OF,
    "migration_map_campaign_type": TYPE_OF,
    "migration_map_status": LEGACY_STATUS_OF,
}
PAIRS = [(name, source, target) for name, mapping in FUNCTIONS.items() for source, target in mapping.items()]


def progress_of(
    phase: str, status: str, percentage: Fraction, domains: int, dns: int, http: int, leads: int
) -> Decimal:
    """The formula, in exact arithmetic."""
    if status == "completed":
        return Decimal(100)
    if status in {"failed", "not_started"} or phase == "setup":
        return Decimal(0)

    def part(done: int) -> Fraction:
        return Fraction(done, domains) if domains else Fraction(0)

    base, width, fraction = {
        "generation": (0, 25, percentage / 100),
        "dns_validation": (25, 25, part(dns)),
        "http_keyword_validation": (50, 25, part(http)),
        "analysis": (75, 20, part(leads)),
    }[phase]
    exact = base + width * min(max(fraction, Fraction(0)), Fraction(1))
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.01"), ROUND_HALF_UP)


async def install(connection: Connection) -> None:
    await connection.execute(sql_files.blocks(sql_files.script("migrate-campaign-data"))["mappings"])


@pytest.fixture
async def mapped(empty_database: Database) -> Database:
    async with connect(empty_database) as connection:
        await install(connection)
    return empty_database


async def test_every_pair_maps_as_the_document_says(mapped: Database) -> None:
    async with connect(mapped) as connection:
        for function, source, target in PAIRS:
            assert await connection.fetchval(f"SELECT {function}($1)", source) == target, (function, source)


@pytest.mark.parametrize("function", FUNCTIONS)
async def test_an_unknown_value_and_null_map_to_nothing(mapped: Database, function: str) -> None:
    async with connect(mapped) as connection:
        assert await connection.fetchval(f"SELECT {function}('no such value')") is None
        assert await connection.fetchval(f"SELECT {function}(NULL)") is None


async def test_a_custom_mapping_adds_a_value_and_leaves_the_fixed_ones(mapped: Database) -> None:
    async with connect(mapped) as connection:
        for row in [("phase_status", False, "stalled", "paused"), ("phase_status", True, "", "failed")]:
            await connection.execute(sql_files.query("upsert_custom_mapping"), *row)
        assert await connection.fetchval("SELECT migration_map_phase_status('stalled')") == "paused"
        assert await connection.fetchval("SELECT migration_map_phase_status(NULL)") == "failed"
        assert await connection.fetchval("SELECT migration_map_phase_status('')") is None
        assert await connection.fetchval("SELECT migration_map_phase_status('running')") == "in_progress"


async def test_mapping_and_inverse_mapping_agree(mapped: Database) -> None:
    async with connect(mapped) as connection:
        for phase in TYPE_OF:
            back = await connection.fetchval(
                "SELECT migration_map_current_phase(migration_map_campaign_type($1))", phase
            )
            assert back == ("generation" if phase == "setup" else phase)
        for status in LEGACY_STATUS_OF:
            back = await connection.fetchval("SELECT migration_map_phase_status(migration_map_status($1))", status)
            assert back == status


counts = st.integers(0, 3_000_000)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(sorted(PHASE_OF)), st.sampled_from(sorted(STATUS_OF)), st.integers(0, 10_000),
            counts, counts, counts, counts,
        ),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_random_rows_map_as_specified(mapped: Database, rows: list[tuple[str, str, int, int, int, int, int]]) -> None:
    async def compare() -> None:
        async with connect(mapped) as connection:
            for row in rows:
                await compare_one(connection, *row)

    async def compare_one(
        connection: Connection, campaign_type: str, status: str, hundredths: int, *metrics: int
    ) -> None:
        domains, dns, http, leads = metrics
        phase, phase_status = PHASE_OF[campaign_type], STATUS_OF[status]
        # A multiple of 1/64 is exact as double precision: the formula is compared, not the input's rounding.
        percentage = Fraction(hundredths * 64 // 100, 64)
        found = await connection.fetchval(
                "SELECT migration_map_progress(migration_map_current_phase($1), migration_map_phase_status($2),"
                " $3, $4, $5, $6, $7)",
                campaign_type, status, float(percentage), domains, dns, http, leads,
            )  # fmt: skip
        expected = progress_of(phase, phase_status, percentage, domains, dns, http, leads)
        assert found == expected, (campaign_type, status, percentage, domains, dns, http, leads)
        assert 0 <= found <= 100

    asyncio.run(compare())
