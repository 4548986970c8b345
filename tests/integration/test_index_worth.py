"""Every index of 000036 earns its place: it serves a pattern, or the user's document names it. By tests/load/index_worth.py."""

from __future__ import annotations

import pytest

from tasks.core.database import Database, connect
from tests.conftest import SampleFactory
from tests.load import index_worth

pytestmark = pytest.mark.large


async def test_every_index_serves_a_pattern_and_together_they_take_less_room_than_before(
    server: Database, sample_factory: SampleFactory
) -> None:
    database = await sample_factory(campaigns=2000, domains=200_000)
    async with connect(server) as watching:
        worth = await index_worth.weigh(database, watching)
    assert index_worth.judge(worth) == []
    assert {index.name for index in worth.indexes} >= index_worth.DOCUMENTED
    for index in worth.indexes:
        for pattern, (blocks, without) in index.saved.items():
            assert blocks < without, f"{index.name} saves nothing in {pattern}"
