"""The Prefect stack that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.prefect_stack import PrefectStack, started_stack


@pytest.fixture(scope="session")
def prefect_stack() -> Iterator[PrefectStack]:
    """Server, worker, deployments and a small sample database, started once."""
    with started_stack() as stack:
        yield stack
