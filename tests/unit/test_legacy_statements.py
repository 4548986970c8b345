"""Statements that still use the legacy columns are told from those that only look like it."""

from __future__ import annotations

import pytest

from tasks.core.legacy_statements import names_legacy_columns


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, status FROM campaigns WHERE user_id = $1",
        "SELECT c.name FROM public.campaigns AS c JOIN users AS u ON u.id = c.user_id WHERE c.launch_sequence",
        "UPDATE campaigns SET status = $1 WHERE id = $2",
        "INSERT INTO campaigns (name, campaign_type) VALUES ($1, $2)",
        "WITH x AS (SELECT campaign_type FROM campaigns) SELECT count(*) FROM x",
    ],
)
def test_a_statement_on_legacy_columns_is_found(query: str) -> None:
    assert names_legacy_columns(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM campaigns",
        "SELECT name AS status FROM campaigns",
        "SELECT current_phase, phase_status FROM campaigns",
        "SELECT status FROM campaign_jobs WHERE campaign_id = $1",
        "SELECT 'campaigns.status'",
        "SELECT migration_map_phase_status(status) FROM campaigns",
        "BEGIN",
        "SELECT status FROM campaigns WHERE id = $1 AND (cut off",
    ],
)
def test_other_statements_are_not(query: str) -> None:
    assert not names_legacy_columns(query)
