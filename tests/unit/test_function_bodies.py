"""Which lines of a function use legacy columns of campaigns, and which only look like it."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.function_bodies import Argument, Body, Header, Surroundings, Use, examine

JOBS = {"campaign_jobs": frozenset({"status"})}
IN_TRIGGER = frozenset({"new", "old"})


def look(language: str, text: str, header: Header | None = None, **around: Any) -> list[Use]:
    surroundings = Surroundings(**{"schema": "public", "columns": JOBS, **around})
    return examine(Body(language, text, header or Header("void", is_procedure=False, arguments=[]), surroundings))


def found(uses: list[Use]) -> list[tuple[int, str, str]]:
    return [(use.line, use.how, ",".join(use.columns)) for use in uses]


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ("SELECT status FROM campaigns", "status"),
        ("SELECT c.campaign_type FROM public.campaigns AS c WHERE c.status = 'x'", "campaign_type,status"),
        ("SELECT public.campaigns.status FROM public.campaigns", "status"),
        ("SELECT (c).launch_sequence FROM campaigns AS c", "launch_sequence"),
        ("SELECT 1 FROM campaigns AS c, LATERAL (SELECT 1 WHERE c.status = 'x') AS l", "status"),
        ("SELECT (SELECT status) FROM campaigns", "status"),
        ("WITH w AS (UPDATE campaigns SET status = 'x' RETURNING id) SELECT * FROM w", "status"),
        ("WITH w AS (SELECT * FROM campaigns) SELECT status FROM w", "every column,status"),
        (
            "INSERT INTO campaigns (id, status) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET status = excluded.status",
            "status",
        ),
        ("MERGE INTO campaigns AS c USING x ON true WHEN MATCHED THEN UPDATE SET status = 'x'", "status"),
        ("DELETE FROM campaigns USING x WHERE campaigns.status = x.y", "status"),
        ("COPY campaigns (id, status) TO '/dev/null'", "status"),
        ("ALTER TABLE campaigns ALTER COLUMN status SET DEFAULT 'x'", "status"),
        (
            "SELECT count(*) FILTER (WHERE status = 'x') FROM campaigns GROUP BY campaign_type ORDER BY 1",
            "status,campaign_type",
        ),
        ("CREATE TABLE copy AS SELECT status FROM campaigns", "status"),
    ],
)
def test_sql_that_names_a_legacy_column_is_found_by_scope(statement: str, columns: str) -> None:
    uses = look("sql", statement)
    assert set(",".join(",".join(use.columns) for use in uses).split(",")) == set(columns.split(","))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT status FROM campaign_jobs",
        "SELECT status FROM archive.campaigns",
        "SELECT id FROM campaigns WHERE id IN (SELECT campaign_id FROM campaign_jobs WHERE status = 'x')",
        "SELECT j.status FROM campaigns AS c JOIN campaign_jobs AS j ON j.campaign_id = c.id",
        "SELECT 'status of campaigns' -- status FROM campaigns",
        "SELECT s.status FROM (SELECT id AS status FROM campaigns) AS s",
        "WITH w AS (SELECT phase_status AS status FROM campaigns) SELECT status FROM w",
        "SELECT count(*), count(c) FROM campaigns AS c",
        "SELECT EXISTS (SELECT * FROM campaigns)",
        "UPDATE campaign_jobs SET status = 'x' FROM campaigns AS c WHERE c.id = campaign_id",
    ],
)
def test_sql_that_only_looks_like_it_is_not(statement: str) -> None:
    assert look("sql", statement) == []


def test_a_search_path_of_its_own_makes_it_another_table() -> None:
    assert look("sql", "SELECT status FROM campaigns", sees_campaigns=False) == []
    assert found(look("sql", "SELECT status FROM public.campaigns", sees_campaigns=False)) == [(1, "named", "status")]


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("SELECT to_jsonb(c) FROM campaigns AS c", "whole row"),
        ("INSERT INTO audit SELECT c.* FROM campaigns AS c", "spread"),
        ("INSERT INTO audit (a, b) SELECT now(), c.* FROM campaigns AS c", "spread"),
        ("INSERT INTO audit SELECT (c).* FROM campaigns AS c", "spread"),
        ("INSERT INTO audit SELECT * FROM campaigns", "spread"),
        ("INSERT INTO audit SELECT to_jsonb(c.*) FROM campaigns AS c", "whole row"),
        ("SELECT * FROM campaigns", "whole row"),
        ("INSERT INTO campaigns VALUES (1, 'a')", "position"),
        ("COPY campaigns FROM '/dev/null'", "position"),
    ],
)
def test_whole_rows_and_the_order_of_columns_are_told_apart_from_names(statement: str, how: str) -> None:
    assert [use.how for use in look("sql", statement)] == [how]


def test_arguments_that_are_rows_of_campaigns_are_read_by_name_and_by_number() -> None:
    header = Header("value", is_procedure=False, arguments=[Argument("c", "i", "campaigns")])
    around = {"rows": frozenset({"c"}), "row_parameters": frozenset({1})}
    assert found(look("sql", "SELECT $1.status", header, **around)) == [(1, "row", "status")]
    assert found(look("sql", "SELECT c.status", header, **around)) == [(1, "row", "status")]
    assert found(look("plpgsql", "BEGIN RETURN c.status; END", header, **around)) == [(1, "row", "status")]


TRIGGER_BODY = """
DECLARE
    row campaigns%ROWTYPE;
    other auth.users;
    known campaigns.status%TYPE;
    jobs CURSOR (wanted text) FOR SELECT id FROM campaigns WHERE status = wanted;
    "Total" numeric(5, 2) := (SELECT count(status) FROM campaigns);
BEGIN
    IF NEW.status IS DISTINCT FROM OLD.status THEN
        NEW.status := lower(NEW.campaign_type);
    ELSIF OLD.name
        = OLD.launch_sequence::text THEN
        UPDATE campaigns
           SET name = 'é',
               status = 'z'
         WHERE id = NEW.id;
    END IF;
    SELECT * INTO row FROM campaigns LIMIT 1;
    RAISE NOTICE '% %', row.status, other.status;
    PERFORM id,
        status FROM campaigns;
    SELECT status FROM campaign_jobs INTO known;
    RETURN NEW;
EXCEPTION WHEN others THEN
    DELETE FROM public.campaigns AS c WHERE c.campaign_type IS NULL;
END
"""


def test_every_line_of_a_trigger_function_is_found() -> None:
    uses = look("plpgsql", TRIGGER_BODY, Header("trigger", is_procedure=False, arguments=[]), rows=IN_TRIGGER)
    assert found(uses) == [
        (5, "named", "status"),
        (6, "named", "status"),
        (7, "named", "status"),
        (9, "row", "status"),
        (10, "row", "status,campaign_type"),
        (12, "row", "launch_sequence"),
        (15, "named", "status"),
        (18, "whole row", "every column"),
        (19, "row", "status"),
        (21, "named", "status"),
        (25, "named", "campaign_type"),
    ]
    assert uses[6].statement == "status = 'z'"


@pytest.mark.parametrize("values", ["SELECT OLD.*", "SELECT now(), (old).*", "VALUES (OLD.*)", "VALUES (1, (OLD).*)"])
def test_a_row_that_a_trigger_spreads_over_another_table_is_told_from_one_handed_on(values: str) -> None:
    body = f"BEGIN\nINSERT INTO history {values};\nINSERT INTO log VALUES (to_jsonb(OLD));\nRETURN NULL; END"
    uses = look("plpgsql", body, Header("trigger", is_procedure=False, arguments=[]), rows=IN_TRIGGER)
    assert found(uses) == [(2, "spread", "the whole row"), (3, "whole row", "the whole row")]


def test_rows_of_another_table_s_trigger_are_not_campaigns() -> None:
    body = "BEGIN IF NEW.status = 'x' THEN RETURN NEW; END IF; RETURN OLD; END"
    assert look("plpgsql", body, Header("trigger", is_procedure=False, arguments=[])) == []


def test_comparing_whole_rows_loses_nothing_and_handing_them_on_does() -> None:
    header = Header("trigger", is_procedure=False, arguments=[])
    assert (
        look("plpgsql", "BEGIN IF NEW IS DISTINCT FROM OLD THEN NULL; END IF; RETURN NEW; END", header, rows=IN_TRIGGER)
        == []
    )
    handed_on = look(
        "plpgsql", "BEGIN PERFORM pg_notify('x', to_jsonb(NEW)::text); RETURN NEW; END", header, rows=IN_TRIGGER
    )
    assert found(handed_on) == [(1, "whole row", "the whole row")]


def test_transition_tables_are_rows_of_campaigns() -> None:
    body = "BEGIN PERFORM status FROM written; RETURN NULL; END"
    header = Header("trigger", is_procedure=False, arguments=[])
    assert found(look("plpgsql", body, header, transition_tables=frozenset({"written"}))) == [(1, "row", "status")]


@pytest.mark.parametrize(
    ("execute", "expected"),
    [
        ("EXECUTE 'SELECT status FROM campaigns'", ("named", "status")),
        ("EXECUTE 'SELECT 1 FROM campaigns WHERE status = ' || quote_literal(x)", ("named", "status")),
        ("EXECUTE format('UPDATE %I SET campaign_type = %L', 'campaigns', x)", ("named", "campaign_type")),
        ("q := 'DELETE FROM campaigns WHERE launch_sequence'; EXECUTE q", ("named", "launch_sequence")),
        ("EXECUTE concat_ws(' ', 'SELECT status', 'FROM campaigns')", ("named", "status")),
        ("EXECUTE format('UPDATE campaigns SET %I = 1', x)", ("not looked into", "")),
        ("EXECUTE 'SELECT ' || x || ' FROM campaigns'", ("not looked into", "")),
        ("EXECUTE x -- for campaigns\n", ("not looked into", "")),
    ],
)
def test_statements_put_together_are_read_as_far_as_literals_go(execute: str, expected: tuple[str, str]) -> None:
    body = f"DECLARE q text; x text; BEGIN {execute}; END"
    assert [(use.how, ",".join(use.columns)) for use in look("plpgsql", body)] == [expected]


@pytest.mark.parametrize(
    "execute",
    ["EXECUTE 'ANALYZE campaigns'", "EXECUTE x", "EXECUTE format('SELECT count(*) FROM %I -- campaigns', x)"],
)
def test_statements_put_together_that_cannot_name_a_legacy_column_are_left_in_peace(execute: str) -> None:
    assert look("plpgsql", f"DECLARE x text; BEGIN {execute}; END") == []


def test_what_the_parser_cannot_read_is_searched_by_its_tokens() -> None:
    uses = look("plpgsql", "BEGIN here is no PL/pgSQL: 'status' -- campaign_type\n campaigns.status;", rows=IN_TRIGGER)
    assert found(uses) == [(2, "word", "status")]


def test_other_languages_are_searched_for_words_and_marked_so() -> None:
    text = "\nplpy.execute('SELECT status FROM campaigns')\nkind = TD['new']['campaign_type']"
    assert found(look("plpython3u", text)) == [(2, "word", "status"), (3, "word", "campaign_type")]
    assert look("plpython3u", "status = 'fine'") == []


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (Header("set", is_procedure=False, arguments=[Argument("a", "t", "value")]), "BEGIN RETURN NEXT; {} END"),
        (
            Header("value", is_procedure=False, arguments=[Argument("a", "o", "value"), Argument("b", "b", "row")]),
            "BEGIN a := 1; {} END",
        ),
        (Header("value", is_procedure=False, arguments=[Argument("", "v", "array")]), "BEGIN {} RETURN $1[1]; END"),
        (Header("void", is_procedure=True, arguments=[Argument("c", "i", "cursor")]), "BEGIN CLOSE c; COMMIT; {} END"),
        (Header("event_trigger", is_procedure=False, arguments=[]), "BEGIN RAISE NOTICE '%', tg_tag; {} END"),
        (
            Header("void", is_procedure=False, arguments=[]),
            "#variable_conflict use_column\nDECLARE a x.y[]; b x.z%TYPE; BEGIN a[1] := 2; {} END",
        ),
    ],
)
def test_every_shape_of_function_is_parsed(header: Header, body: str) -> None:
    uses = look("plpgsql", body.format("PERFORM status FROM campaigns;"), header)
    assert [use.how for use in uses] == ["named"]
