from __future__ import annotations

import pytest

from tasks.core.plan_shape import diff, fingerprint, lost_indexes, plan_change, shape

INDEXED = """Limit
  ->  Nested Loop Left Join
        ->  Index Scan using idx_campaigns_user on campaigns c
              Index Cond: (user_id = $1)
              Filter: (status = 'running'::text)
        ->  Aggregate
              ->  Bitmap Heap Scan on generated_domains g
                    Recheck Cond: (domain_generation_campaign_id = c.id)
                    ->  Bitmap Index Scan on idx_domains
                          Index Cond: (domain_generation_campaign_id = c.id)"""
SEQUENTIAL = """Limit
  ->  Nested Loop Left Join
        ->  Index Scan using idx_campaigns_user on campaigns c
              Index Cond: (user_id = $1)
        ->  Aggregate
              ->  Seq Scan on generated_domains g
                    Filter: (domain_generation_campaign_id = c.id)"""


def test_a_shape_holds_the_nodes_by_depth_and_neither_conditions_nor_aliases() -> None:
    assert shape(INDEXED) == [
        "Limit",
        "  Nested Loop Left Join",
        "    Index Scan using idx_campaigns_user on campaigns",
        "    Aggregate",
        "      Bitmap Heap Scan on generated_domains",
        "        Bitmap Index Scan on idx_domains",
    ]


def test_common_table_expressions_and_subplans_have_their_place() -> None:
    plan = """Sort
  Sort Key: x
  CTE taken
    ->  Seq Scan on a
  ->  Result
        SubPlan 1
          ->  Index Scan using i on b b_1"""
    assert shape(plan) == [
        "Sort",
        "  CTE taken",
        "    Seq Scan on a",
        "  Result",
        "    SubPlan 1",
        "      Index Scan using i on b",
    ]


def test_other_conditions_and_aliases_have_the_same_fingerprint() -> None:
    other = INDEXED.replace("campaigns c\n", "campaigns other\n").replace("'running'", "'paused'")
    assert fingerprint(other) == fingerprint(INDEXED)
    assert fingerprint(SEQUENTIAL) != fingerprint(INDEXED)


def test_the_difference_shows_what_went_and_what_came() -> None:
    lines = diff(INDEXED, SEQUENTIAL).splitlines()
    assert "-       Bitmap Heap Scan on generated_domains" in lines
    assert "+       Seq Scan on generated_domains" in lines
    assert "  Limit" in lines


@pytest.mark.parametrize(
    ("before", "after", "more_work", "expected"),
    [
        (INDEXED, INDEXED, True, "same"),
        (INDEXED, SEQUENTIAL, True, "critical"),
        (INDEXED, SEQUENTIAL, False, "changed"),
        (SEQUENTIAL, INDEXED, True, "changed"),
        (None, INDEXED, True, "same"),
    ],
)
def test_an_index_scan_that_became_sequential_is_critical_if_more_is_read(
    before: str | None,
    after: str | None,
    more_work: bool,  # noqa: FBT001 - by name
    expected: str,
) -> None:
    assert plan_change(before, after, more_work=more_work) == expected


def test_a_relation_that_is_still_read_by_an_index_elsewhere_has_not_lost_it() -> None:
    assert lost_indexes(INDEXED, SEQUENTIAL) == ["generated_domains"]
    both = SEQUENTIAL + "\n  ->  Index Only Scan using i on generated_domains h"
    assert lost_indexes(INDEXED, both) == []
