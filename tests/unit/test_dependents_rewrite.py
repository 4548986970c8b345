"""What becomes of a definition's text: campaigns is replaced where the table is meant, and nowhere else."""

from __future__ import annotations

import pytest

from tasks.core.dependents.materialized import ASIDE, FORMER, LONGEST_NAME, with_suffix
from tasks.core.dependents.rewrite import CannotRewrite, reads_whole_rows, to_relations, to_view


def test_the_table_is_replaced_under_its_own_name_and_a_query_of_that_name_is_not() -> None:
    text = (
        "WITH campaigns AS (SELECT 1 AS status) SELECT campaigns.status, o.status"
        " FROM campaigns, public.campaigns AS o WHERE EXISTS (SELECT 1 FROM public.campaigns WHERE campaigns.status = 'x')"
        " FOR UPDATE OF o"
    )
    assert to_view(text, "public", "seen") == text.replace("public.campaigns AS o", "public.seen o").replace(
        "FROM public.campaigns WHERE", "FROM public.seen campaigns WHERE"
    )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT s FROM public.campaigns AS c (i, n, t, s)",
        "SELECT j.s FROM (public.campaigns AS c CROSS JOIN public.users AS u) AS j (i, n, t, s)",
    ],
)
def test_columns_that_are_renamed_by_their_places_are_refused(text: str) -> None:
    with pytest.raises(CannotRewrite, match="other places"):
        to_view(text, "public", "seen")


KEYED = "FROM public.campaigns c LEFT JOIN public.items i ON i.of = c.id WHERE c.launch_sequence"


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        (f"SELECT c.id, upper(c.status), count(i.n) {KEYED} GROUP BY c.id", "c.id, c.status"),
        (
            f"SELECT c.id {KEYED} GROUP BY c.id, i.n HAVING c.status <> i.n ORDER BY c.name",
            "c.id, i.n, c.status, c.name",
        ),
        (f"SELECT to_jsonb(c.*) {KEYED} GROUP BY c.id", "c.id, c.*"),
        (f"SELECT c.status, max(c.id) {KEYED} GROUP BY c.status", "c.status"),
        (f"SELECT (SELECT c.name FROM public.other c) {KEYED} GROUP BY c.id", "c.id"),
        (f"SELECT (SELECT max(o.n) FROM public.other o WHERE o.s = c.status) {KEYED} GROUP BY c.id", "c.id, c.status"),
        ("SELECT status, count(*) FROM public.campaigns GROUP BY id", "id, status"),
        ("SELECT id, count(*) FROM archive.campaigns GROUP BY id", "id"),
    ],
)
def test_what_the_primary_key_implies_in_a_group_is_said(text: str, grouped: str) -> None:
    found = to_view(text, "public", "seen", ["id"])
    assert found.partition(" GROUP BY ")[2].partition(" HAVING ")[0] == grouped
    assert "GROUP BY " + text.partition(" GROUP BY ")[2] in to_view(text, "public", "seen")


def test_what_writes_to_campaigns_is_refused() -> None:
    with pytest.raises(CannotRewrite, match="writes to campaigns"):
        to_view("UPDATE public.campaigns SET status = 'paused'", "public", "seen")


def test_whole_rows_of_the_table_alone_are_told() -> None:
    assert reads_whole_rows("SELECT to_jsonb(c.*) FROM public.campaigns AS c", "public")
    assert not reads_whole_rows("SELECT to_jsonb(c.*) FROM archive.campaigns AS c", "public")


def test_a_relation_that_steps_aside_is_read_under_its_new_name_without_an_alias_where_none_is_needed() -> None:
    names = {("public", "one"): "one__rebuilt"}
    assert to_relations("SELECT one.id FROM public.one", names) == "SELECT one__rebuilt.id FROM public.one__rebuilt"
    twice = to_relations(
        "SELECT one.id FROM public.one WHERE EXISTS (SELECT 1 FROM archive.one WHERE one.id = 1)", names
    )
    assert twice.startswith("SELECT one.id FROM public.one__rebuilt one WHERE")
    made = to_relations("CREATE MATERIALIZED VIEW public.one AS SELECT 1 AS id", names)
    assert made == "CREATE MATERIALIZED VIEW public.one__rebuilt AS SELECT 1 AS id"


@pytest.mark.parametrize("name", ["short", "x" * 60, "x" * 63, "ü" * 31])
def test_a_name_with_something_behind_it_is_as_long_as_the_server_takes_and_nobody_elses(name: str) -> None:
    made = {with_suffix(name, suffix) for suffix in ("", ASIDE, FORMER)} | {with_suffix(name[:-1] + "y", ASIDE)}
    assert len(made) == 4
    assert all(len(one.encode()) <= LONGEST_NAME for one in made)
