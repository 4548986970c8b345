"""Whatever stands around the core tables, the way up succeeds and leaves it as it was, and the way back leaves no trace."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasks.core.database import Database
from tasks.core.sample import drop_database
from tests.chain import LEGACY, OURS, PHASES, Chain, difference, differences
from tests.schema_dump import schema_dump

SampleFactory = Callable[..., Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

TINY = {"campaigns": 54, "domains": 300}
NAMES = (
    "plain", "Mixed Case", 'quo"ted', "semi;colon", "select", "ünïcode", "a.b", "per%cent", "back\\slash", "dollar$body$",
    "apo'strophe", "%I", "status", "campaigns", "{row}", "$1", "-- no comment", "x" * 50,
)  # fmt: skip
OTHERS = (
    "name",
    "user_id",
    "created_at",
    "updated_at",
    "progress_percentage",
    "business_status",
    "total_items",
    "error_message",
)
TEXTS = ("name", "business_status", "error_message", "archived_reason", "campaign_type", "status")
TYPES = (
    "text",
    "integer NOT NULL DEFAULT 3",
    "jsonb DEFAULT '{}'",
    "numeric(9, 3)",
    "text[]",
    "timestamptz DEFAULT now()",
)
ROLES = ("campaign_reader", "campaign_app", "PUBLIC")
STATUSES = ("pending", "queued", "running", "completed", "cancelled")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Planting:
    """Draws what to plant, one object after another, and remembers what later ones may build on."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.statements: list[str] = []
        self.schemas = ["public"]
        self.views: list[str] = []
        self.materialized: list[str] = []
        # Row level security of campaigns and owners or policies that read it from elsewhere are refused together.
        self.guards_rows = self.maybe()
        self._count = 0

    def __repr__(self) -> str:
        return ";\n".join(self.statements)

    def one_of(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def some_of(self, choices: Any, least: int = 1, most: int = 3) -> list[Any]:
        return list(self.draw(st.lists(st.sampled_from(choices), min_size=least, max_size=most, unique=True)))

    def maybe(self) -> bool:
        return bool(self.draw(st.booleans()))

    def name(self) -> str:
        self._count += 1
        return quoted(f"{self.one_of(NAMES)} {self._count}")

    def place(self) -> str:
        return f"{self.one_of(self.schemas)}.{self.name()}"

    def add(self, *statements: str) -> None:
        self.statements += statements

    def remark(self, what: str) -> None:
        if self.maybe():
            self.add(f"COMMENT ON {what} IS {literal(self.one_of(NAMES) + ' of ' + self.one_of(LEGACY))}")

    def grant(self, what: str, rights: str = "SELECT") -> None:
        for role in self.some_of(ROLES, 0, 2):
            option = " WITH GRANT OPTION" if role != "PUBLIC" and self.maybe() else ""
            self.add(f"GRANT {rights} ON {what} TO {role}{option}")

    def hand_over(self, what: str) -> None:
        if not self.guards_rows and self.maybe():
            self.add(f"ALTER {what} OWNER TO campaign_app")

    def schema(self) -> None:
        name = self.name()
        self.add(f"CREATE SCHEMA {name}", f"GRANT USAGE ON SCHEMA {name} TO campaign_reader")
        self.schemas.append(name)

    def table(self) -> None:
        place = self.place()
        target = self.one_of(("campaigns", "generated_domains"))
        action = self.one_of(("CASCADE", "SET NULL", "NO ACTION DEFERRABLE INITIALLY DEFERRED"))
        columns = "".join(f", {self.name()} {self.one_of(TYPES)}" for _ in range(self.one_of((0, 1, 3))))
        self.add(f"CREATE TABLE {place} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                 f" refers_to uuid REFERENCES public.{target} (id) ON DELETE {action}, status text{columns})")  # fmt: skip
        self.remark(f"TABLE {place}")
        self.grant(place, "SELECT, INSERT")

    def view(self) -> None:
        place, barrier = self.place(), self.one_of(("", " WITH (security_barrier=true)"))
        if self.views and self.maybe():
            source = self.one_of(self.views)
            self.add(
                f"CREATE VIEW {place}{barrier} AS SELECT v.*, {literal(place)}::text AS {self.name()} FROM {source} AS v"
            )
        else:
            columns = self.some_of((*OTHERS, *LEGACY), 1, 4)
            shown = ", ".join(f"c.{column} AS {self.name()}" if self.maybe() else f"c.{column}" for column in columns)
            condition = self.one_of((
                "", " WHERE c.status = 'running'", " WHERE c.campaign_type IN ('dns_validation', 'automated')",
                " WHERE c.name IS NOT NULL AND NOT c.launch_sequence", " WHERE c.updated_at > c.created_at",
            ))  # fmt: skip
            self.add(f"CREATE VIEW {place}{barrier} AS SELECT c.id, {shown} FROM public.campaigns AS c{condition}")
            self.hand_over(f"VIEW {place}")
        self.views.append(place)
        self.remark(f"VIEW {place}")
        self.remark(f"COLUMN {place}.id")
        self.grant(place)
        self.grant(place, "SELECT (id)")

    def materialized_view(self) -> None:
        place, index = self.place(), self.name()
        self.add(f"CREATE MATERIALIZED VIEW {place} AS SELECT id, name, {self.one_of((*LEGACY, 'user_id'))} AS kept"
                 f" FROM public.campaigns{self.one_of(('', ' WITH NO DATA'))}")  # fmt: skip
        self.add(f"CREATE UNIQUE INDEX {index} ON {place} (id)")
        if self.maybe():
            key = self.one_of(("lower(name)", "kept DESC, (name || '-')", '(name) COLLATE "C" text_pattern_ops'))
            condition = self.one_of(("", " WHERE kept IS NOT NULL"))
            self.add(f"CREATE INDEX {self.name()} ON {place} ({key}){condition}")
        self.materialized.append(place)
        self.remark(f"MATERIALIZED VIEW {place}")
        self.remark(f"COLUMN {place}.kept")
        self.grant(place)
        self.hand_over(f"MATERIALIZED VIEW {place}")

    def index(self) -> None:
        name = self.name()
        orders = ("", " DESC", " NULLS FIRST", " DESC NULLS LAST")
        keys = [column + self.one_of(orders) for column in self.some_of((*OTHERS, *LEGACY), 1, 3)]
        if self.maybe():
            text = self.one_of(TEXTS)
            keys.append(
                self.one_of((f"lower({text})", f"({text} || '-')", f'{text} COLLATE "C"', f"{text} text_pattern_ops"))
            )
        unique = self.one_of(("", "UNIQUE "))
        include = self.one_of(("", " INCLUDE (processed_items)", " INCLUDE (status)"))
        options = self.one_of(("", " WITH (fillfactor=71)"))
        condition = self.one_of((
            "", f" WHERE status = '{self.one_of(STATUSES)}'", " WHERE name <> ''", " WHERE campaign_type <> 'analysis'",
            " WHERE NOT launch_sequence AND user_id IS NOT NULL",
        ))  # fmt: skip
        self.add(
            f"CREATE {unique}INDEX {name} ON campaigns ({'id, ' if unique else ''}{', '.join(keys)}){include}{options}{condition}"
        )
        self.remark(f"INDEX {name}")

    def check(self) -> None:
        name, column = self.name(), self.one_of(("name", "business_status", "total_items", *LEGACY))
        rule = self.one_of(
            (
                f"{column} IS NOT NULL OR true",
                f"{column}::text <> 'nothing of the kind'",
                f"length({column}::text) < 200",
            )
        )
        self.add(f"ALTER TABLE campaigns ADD CONSTRAINT {name} CHECK ({rule}){self.one_of(('', ' NOT VALID'))}")
        self.remark(f"CONSTRAINT {name} ON campaigns")

    def column(self) -> None:
        name = self.name()
        self.add(f"ALTER TABLE campaigns ADD COLUMN {name} {self.one_of(TYPES)}")
        self.remark(f"COLUMN campaigns.{name}")
        if self.maybe():
            self.add(f"GRANT SELECT ({name}), UPDATE ({name}) ON campaigns TO {self.one_of(ROLES)}")

    def column_settings(self) -> None:
        column = self.one_of((*LEGACY, *OTHERS))
        self.add(f"ALTER TABLE campaigns ALTER {column} SET STATISTICS {self.one_of((0, 17, 900))}")
        if self.maybe():
            self.add(f"ALTER TABLE campaigns ALTER {column} SET (n_distinct = {self.one_of((5, -0.25))})")
        self.remark(f"COLUMN campaigns.{column}")
        if self.maybe():
            self.add(f"GRANT SELECT ({column}) ON campaigns TO {self.one_of(ROLES)}")

    def statistics(self) -> None:
        place = self.place()
        columns = ", ".join(self.some_of((*OTHERS, *LEGACY), 2, 3))
        if self.maybe():
            columns = f"{columns}, ({self.one_of(('lower', 'md5'))}({self.one_of(TEXTS)}))"
        self.add(f"CREATE STATISTICS {place} (dependencies, ndistinct) ON {columns} FROM campaigns")
        self.remark(f"STATISTICS {place}")

    def trigger(self) -> None:
        function, name = self.place(), self.name()
        self.add(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS"
                 " $f$ BEGIN PERFORM pg_notify('planted', TG_NAME); RETURN NULL; END $f$")  # fmt: skip
        event = self.one_of((
            "UPDATE OF status", "UPDATE OF name, campaign_type", "INSERT OR DELETE", "UPDATE", "UPDATE OF progress_percentage",
        ))  # fmt: skip
        when = " WHEN (OLD.status IS DISTINCT FROM NEW.status)" if event == "UPDATE OF status" and self.maybe() else ""
        level = "ROW" if when else self.one_of(("ROW", "STATEMENT"))
        self.add(
            f"CREATE TRIGGER {name} AFTER {event} ON campaigns FOR EACH {level}{when} EXECUTE FUNCTION {function}()"
        )
        self.remark(f"TRIGGER {name} ON campaigns")

    def function(self) -> None:
        place = self.place()
        body = f"SELECT count(*) FROM public.campaigns WHERE {self.one_of(LEGACY)} IS NOT NULL"
        bound = not self.guards_rows and self.maybe()
        body = f"BEGIN ATOMIC {body}; END" if bound else f"AS {literal(body)}"
        self.add(f"CREATE FUNCTION {place}() RETURNS bigint LANGUAGE sql STABLE {body}")
        self.grant(f"FUNCTION {place}()", "EXECUTE")

    def policy(self) -> None:
        name = self.name()
        rule = self.one_of(
            ("status <> 'nothing'", "campaign_type = 'dns_validation' OR true", "user_id IS NOT NULL", "true")
        )
        if self.guards_rows:
            self.add(f"CREATE POLICY {name} ON campaigns FOR SELECT TO campaign_reader USING ({rule})",
                     "ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY")  # fmt: skip
            self.remark(f"POLICY {name} ON campaigns")
            return
        table = self.one_of(("campaign_jobs", "campaign_events", "campaigns"))
        found = rule if table == "campaigns" else f"campaign_id IN (SELECT c.id FROM campaigns AS c WHERE {rule})"
        self.add(f"CREATE POLICY {name} ON {table} USING ({found}) WITH CHECK ({found})")
        self.remark(f"POLICY {name} ON {table}")

    def oddity(self) -> None:
        self.add(self.one_of((
            "ALTER TABLE campaigns CLUSTER ON idx_campaigns_user_status",
            "ALTER TABLE campaigns REPLICA IDENTITY FULL",
            "ALTER TABLE campaigns SET (autovacuum_enabled = false, fillfactor = 80)",
            "ALTER TABLE campaigns ALTER status DROP DEFAULT",
            "ALTER TABLE campaigns ALTER campaign_type DROP NOT NULL",
            f"ALTER TABLE campaigns RENAME CONSTRAINT chk_campaigns_total_items TO {self.name()}",
            f"ALTER INDEX idx_campaigns_type_status RENAME TO {self.name()}",
            f"CREATE PUBLICATION {self.name()} FOR TABLE campaigns, generated_domains",
            "ALTER TABLE campaign_shares ALTER CONSTRAINT campaign_shares_campaign_id_fkey DEFERRABLE INITIALLY DEFERRED",
            f"CREATE TYPE {self.name()} AS ENUM ('status', 'campaign_type')",
            "ALTER INDEX idx_campaigns_type RENAME TO idx_campaigns_workflow_primary",
        )))  # fmt: skip


@st.composite
def catalogs(draw: Draw) -> Planting:
    """Between three and fourteen objects of random kinds."""
    planting = Planting(draw)
    kinds = (
        Planting.schema, Planting.table, Planting.view, Planting.view, Planting.materialized_view, Planting.index,
        Planting.index, Planting.check, Planting.column, Planting.column_settings, Planting.statistics, Planting.trigger,
        Planting.function, Planting.policy, Planting.oddity,
    )  # fmt: skip
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=3, max_size=14)):
        kind(planting)
    return planting


# What the dump says of everything but us and the legacy columns.

HEAD = re.compile(r"^(?P<name>.*); Type: (?P<type>.*); Schema: (?P<schema>.*); Owner: ", re.MULTILINE)
READS_LEGACY = re.compile(rf"\b({'|'.join(LEGACY)})\b")
LEGACY_NAME = f"({'|'.join(LEGACY)})"
OF_COLUMNS = re.compile(
    rf"ALTER COLUMN {LEGACY_NAME} |^\s*(CONSTRAINT campaigns_\w+_check|{LEGACY_NAME}|{'|'.join(PHASES)})\b"
    rf"|CHECK .*\b{LEGACY_NAME}\b"
)
OUR_NAMES = re.compile(
    r"\b(migration_\w+|campaign_metrics?_\w+|campaigns_keep_row|campaigns_with_legacy_columns\w*|campaign_performance_metrics"
    r"|phases_index_\w+|maintain_phases_indexes|zzz_\w+|zzy_\w+|idx_campaigns_(workflow_primary|phase_transitions|user_dashboard)"
    r"|idx_domains_\w+|idx_campaigns_workflow_primary\w*)\b"
)


def entries(database: Database) -> dict[tuple[str, ...], list[str]]:
    """The dump by object: its name, type and schema, and the lines that make it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for entry in re.split(r"\n--\n-- Name: ", schema_dump(database))[1:]:
        head = HEAD.match(entry)
        assert head is not None, entry[:200]
        # pg_dump's own settings stand behind whatever comes before the first table.
        lines = [line.rstrip(",") for line in entry.splitlines()[2:]
                 if line.strip() and not line.startswith("SET default_tab")]  # fmt: skip
        found.setdefault((head["name"], head["type"], head["schema"]), []).extend(lines)
    return found


def of_others(found: dict[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], list[str]]:
    """What is neither ours nor about the legacy columns; of campaigns itself, the columns that neither side defines."""
    kept, gone = {}, set()
    for key, lines in found.items():
        name, kind, _ = key
        if OUR_NAMES.search(name) or OURS.search(name):
            continue
        if (name, kind) == ("campaigns", "TABLE"):
            kept[key] = [line for line in lines if not OF_COLUMNS.search(line)]
            gone |= {f"CONSTRAINT {line.split(' CHECK ')[0].split('CONSTRAINT ')[1]} ON campaigns"
                     for line in lines if "CONSTRAINT" in line and OF_COLUMNS.search(line)}  # fmt: skip
        elif READS_LEGACY.search("\n".join(lines)) and re.search(r"\bcampaigns\b", "\n".join([name, *lines])):
            gone |= {f"{kind} {name}"} if kind in {"INDEX", "STATISTICS"} else set()
        else:
            kept[key] = lines
    return {key: lines for key, lines in kept.items() if not (key[1] == "COMMENT" and key[0].replace('"', "") in
                                                               {name.replace('"', "") for name in gone})}  # fmt: skip


def kept_by_name(found: dict[tuple[str, ...], list[str]]) -> set[tuple[str, ...]]:
    """Objects that must still be there even if they read legacy columns."""
    kinds = {
        "VIEW",
        "MATERIALIZED VIEW",
        "FUNCTION",
        "TRIGGER",
        "POLICY",
        "TABLE",
        "SCHEMA",
        "PUBLICATION",
        "ROW SECURITY",
    }
    return {key for key in found if key[1] in kinds and not OUR_NAMES.search(key[0])}


async def answers(chain: Chain, planting: Planting) -> dict[str, Any]:
    populated = [
        place for place in planting.materialized
        if (await chain.values(f"SELECT relispopulated FROM pg_class WHERE oid = {literal(place)}::regclass"))[0]
    ]  # fmt: skip
    return {
        place: await chain.values(f"SELECT v::text FROM {place} AS v ORDER BY 1")
        for place in [*planting.views, *populated]
    }


async def up_and_down(sample_factory: SampleFactory, planting: Planting, *, judged: bool) -> None:
    database = await sample_factory(**TINY)
    chain = Chain(database, options={"keep_duplicates": True})
    try:
        for statement in planting.statements:
            await chain.execute(statement)
        schema, before, rows = entries(database), await chain.checksums(), await answers(chain, planting)
        lines = chain.dump()
        report = await chain.preflight()
        assert not report.blockers, [finding.message for finding in report.blockers]
        await chain.up()
        failed = await chain.judge() if judged else []
        assert failed == [], failed
        migrated = entries(database)
        wanted = of_others(schema)
        found = {key: lines for key, lines in of_others(migrated).items() if key in wanted or key not in schema}
        changed = {
            key: difference(found.get(key, []), wanted.get(key, []))
            for key in wanted.keys() | found.keys()
            if wanted.get(key) != found.get(key)
        }
        assert not changed, changed
        assert kept_by_name(schema) <= kept_by_name(migrated)
        assert await answers(chain, planting) == rows
        await chain.down()
        assert difference(chain.dump(), lines) == []
        assert differences(await chain.checksums(), before) == {}
        assert await answers(chain, planting) == rows
    finally:
        await drop_database(database.model_copy(update={"database": "postgres"}), database.database)


UNHURRIED = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


@settings(UNHURRIED, max_examples=2, derandomize=True, phases=[Phase.generate])
@given(planting=catalogs())
async def test_what_stands_around_the_tables_is_as_it_was(sample_factory: SampleFactory, planting: Planting) -> None:
    await up_and_down(sample_factory, planting, judged=False)


@pytest.mark.large
@pytest.mark.timeout(3600)
@settings(UNHURRIED, max_examples=40)
@given(planting=catalogs())
async def test_of_many_catalogs_none_is_changed(sample_factory: SampleFactory, planting: Planting) -> None:
    await up_and_down(sample_factory, planting, judged=True)
