"""Views of every form that SQL has, over the legacy columns: they answer as before, with both models alive, after it and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.chain import Chain, difference, differences

SMALL = {"campaigns": 60, "domains": 600}
FORMS = """
CREATE TABLE states (status text PRIMARY KEY, title text);
INSERT INTO states SELECT DISTINCT status, upper(status) FROM campaigns;
CREATE VIEW of_lateral (a, b, c) AS
    SELECT c.id, s.text, d.count FROM campaigns AS c, LATERAL (SELECT c.status || '!' AS text) AS s, LATERAL (
        SELECT count(*) FROM generated_domains AS g WHERE g.domain_generation_campaign_id = c.id AND c.campaign_type <> 'x') AS d;
CREATE VIEW checked AS SELECT id, name, status FROM campaigns WHERE status <> 'archived' WITH LOCAL CHECK OPTION;
ALTER VIEW checked ALTER status SET DEFAULT 'pending';
CREATE VIEW checked_again WITH (security_barrier) AS SELECT id, name FROM checked WHERE name <> 'x' WITH CASCADED CHECK OPTION;
CREATE RECURSIVE VIEW recursive (id, status, n) AS
    SELECT id, status, 1 FROM campaigns UNION ALL SELECT id, status, n + 1 FROM recursive WHERE n < 2;
CREATE VIEW star AS SELECT c.*, u.email FROM campaigns AS c JOIN users AS u ON u.id = c.user_id;
CREATE VIEW only_itself AS SELECT status FROM ONLY campaigns;
CREATE VIEW distinct_on AS SELECT DISTINCT ON (status) status, id, campaign_type FROM campaigns ORDER BY status, id;
CREATE VIEW rolled_up AS
    SELECT status, campaign_type, count(*) FILTER (WHERE launch_sequence) AS n, grouping(status) AS g
    FROM campaigns GROUP BY ROLLUP (status, campaign_type);
CREATE VIEW compared AS
    SELECT id, (status, campaign_type) = ('running', 'analysis') AS a, status = ANY (ARRAY['x', 'running']) AS b,
        coalesce(nullif(status, 'x'), 'y') AS c, r IS NOT NULL AS d FROM campaigns AS r;
CREATE VIEW names_exchanged AS
    SELECT id AS status, status AS id, campaign_type AS launch_sequence, launch_sequence AS campaign_type FROM campaigns;
CREATE VIEW joined_using AS SELECT * FROM campaigns JOIN states USING (status);
CREATE VIEW joined_full AS SELECT id, status, title FROM campaigns FULL JOIN states USING (status);
CREATE VIEW joined_naturally AS SELECT status, title FROM states NATURAL JOIN (SELECT status, campaign_type FROM campaigns) AS q;
CREATE VIEW aggregates AS
    SELECT array_agg(id ORDER BY status, id) AS a, jsonb_object_agg(id, status) AS b, string_agg(status, ',' ORDER BY id) AS c
    FROM campaigns;
CREATE VIEW subqueries AS
    SELECT u.id, (SELECT min(status) FROM campaigns WHERE user_id = u.id) AS least FROM users AS u
    WHERE EXISTS (SELECT FROM campaigns WHERE user_id = u.id AND status = 'running')
        OR u.id IN (SELECT user_id FROM campaigns WHERE launch_sequence);
CREATE VIEW sets AS SELECT c.id, unnest(string_to_array(c.status, 'n')) AS part FROM campaigns AS c;
CREATE VIEW windows AS
    SELECT id, lag(status) OVER w AS a, first_value(campaign_type) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS b
    FROM campaigns WINDOW w AS (PARTITION BY user_id ORDER BY id);
CREATE VIEW locking AS SELECT id, status FROM campaigns FOR NO KEY UPDATE SKIP LOCKED;
CREATE VIEW with_ties AS SELECT id, status FROM campaigns ORDER BY status DESC NULLS LAST, id FETCH FIRST 3 ROWS WITH TIES;
CREATE VIEW common AS
    WITH a AS MATERIALIZED (SELECT id, status FROM campaigns), b AS NOT MATERIALIZED (SELECT * FROM a) SELECT * FROM b;
CREATE VIEW cast_and_collated AS
    SELECT status COLLATE "C" AS a, campaign_type::varchar(20) AS b, status::char(3) AS c FROM campaigns ORDER BY 1;
CREATE VIEW replaced AS SELECT id, name, status FROM campaigns;
CREATE RULE replaced AS ON UPDATE TO replaced DO INSTEAD UPDATE campaigns SET name = NEW.name WHERE id = OLD.id;
CREATE TABLE kept_rows (id integer PRIMARY KEY, kept replaced);
INSERT INTO kept_rows SELECT 1, r FROM replaced AS r LIMIT 1;
CREATE FUNCTION count_running() RETURNS bigint LANGUAGE sql STABLE COST 77 SET work_mem = '8MB'
    BEGIN ATOMIC SELECT count(*) FROM campaigns WHERE status = 'running'; END;
ALTER TABLE campaign_events ADD running bigint DEFAULT count_running();
CREATE VIEW through_function AS SELECT count_running() AS running;
"""
VIEWS = """
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' AND c.oid > 16383
ORDER BY 1
"""


async def test_views_of_every_form_answer_as_before(sample_factory: Callable[..., Any]) -> None:
    chain = Chain(await sample_factory(**SMALL))
    await chain.execute(FORMS)
    names = await chain.values(VIEWS)
    assert len(names) > 20

    async def answers() -> dict[str, str]:
        return {name: str(await chain.values(f"SELECT v::text FROM {name} AS v ORDER BY 1")) for name in names}

    before, rows, schema = await answers(), await chain.checksums(), chain.dump()
    assert not (await chain.preflight()).blockers
    await chain.transform()
    assert differences(await answers(), before) == {}
    await chain.up()
    assert differences(await answers(), before) == {}
    await chain.execute("BEGIN; UPDATE replaced SET name = name; ROLLBACK")
    await chain.down()
    assert differences(await answers(), before) == {}
    assert differences(await chain.checksums(), rows) == {}
    assert difference(chain.dump(), schema) == []
