"""The whole chain on one database, forth and back, and what must be the same before, between and after."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tasks.core import core_migrations, integration, preflight, rollback, run, transform, validation
from tasks.core.database import Connection, Database, connect
from tasks.core.models import CheckResult, PreflightReport
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters, RollbackParameters
from tests.schema_dump import schema_dump

LEGACY = ("campaign_type", "status", "launch_sequence")
PHASES = (
    "current_phase", "phase_status", "progress", "domains", "leads", "dns_validated_domains", "http_validated_domains",
)  # fmt: skip
OURS = re.compile(
    r"\b(campaigns_backup_000035|campaigns_pre_\w+_backup|migration_(runs|ledger|approvals|\w+_results|\w+_report)"
    r"|migration_performance_comparison|migration_benchmark_\w+)"
)
# Metrics that differ from a recount; no row is right.
MISCOUNTED = """
SELECT c.id FROM campaigns AS c
LEFT JOIN (
    SELECT domain_generation_campaign_id AS id, count(*) AS domains, count(*) FILTER (WHERE dns_status = 'ok') AS dns,
        count(*) FILTER (WHERE http_status = 'ok') AS http, count(*) FILTER (WHERE lead_score > 0) AS leads
    FROM generated_domains GROUP BY 1
) AS d ON d.id = c.id
WHERE (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
    IS DISTINCT FROM (coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0))
"""
COLUMNS = """
SELECT format('%I.%I', n.nspname, c.relname) AS relation, format('%I', a.attname) AS "column",
    (SELECT string_agg(format('t.%I', k.attname), ', ') FROM pg_index AS i
     JOIN pg_attribute AS k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)
     WHERE i.indrelid = c.oid AND i.indisprimary) AS key
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE n.nspname !~ '^pg_|^information_schema$' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND a.attnum > 0 AND NOT a.attisdropped
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %'
    AND c.relname !~ '^(migration_|campaign_metric|campaigns_pre_)'
"""


@dataclass
class Chain:
    """One campaign database, and the steps of flows.migrate and flows.rollback on it.

    Attributes:
        owner: a superuser's view of the same database, to look with; by default the one that works.
    """

    database: Database
    schema: str = "public"
    options: dict[str, Any] = field(default_factory=dict)
    owner: Database | None = None

    @property
    def parameters(self) -> MigrateParameters:
        return MigrateParameters(mode="apply", schema_name=self.schema, **self.options)

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Connection]:
        """A connection of the superuser's, on the schema."""
        async with connect(self.owner or self.database, schema=self.schema) as connection:
            yield connection

    async def execute(self, *statements: str) -> None:
        async with self.look() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def values(self, query: str) -> list[Any]:
        async with self.look() as connection:
            return [row[0] for row in await connection.fetch(query)]

    async def preflight(self) -> PreflightReport:
        return await preflight.run_preflight(self.database, self.parameters, for_apply=False)

    async def up(self) -> None:
        run_id = str(uuid.uuid4())
        async with run.exclusive_run(self.database, self.schema, self.parameters, run_id, "test"):
            await transform.transform(self.database, self.parameters, run_id, unheard)
            await core_migrations.apply_core_migrations(self.database, self.parameters, run_id, unheard)

    async def transform(self) -> None:
        """The first half alone: both models live."""
        run_id = str(uuid.uuid4())
        async with run.exclusive_run(self.database, self.schema, self.parameters, run_id, "test"):
            await transform.transform(self.database, self.parameters, run_id, unheard)

    async def down(self) -> None:
        parameters, run_id = (
            RollbackParameters(mode="apply", confirm=self.database.database, schema_name=self.schema),
            str(uuid.uuid4()),
        )
        async with run.exclusive_run(self.database, self.schema, parameters, run_id, "test"):
            await rollback.roll_back(self.database, parameters, run_id, unheard)

    async def judge(self) -> list[str]:
        """The checks of the validation and the integration test that failed, with their details."""
        results: list[CheckResult] = [
            *await validation.run_validation(self.database, self.schema, str(uuid.uuid4()), unheard),
            *await integration.run_integration_test(self.database, self.schema, str(uuid.uuid4()), unheard),
        ]
        return [f"{result.name}: {result.details}" for result in results if result.status == "FAIL"]

    async def checksums(self) -> dict[str, str]:
        """Of every column of every table of the application, ours left out."""
        async with self.look() as connection:
            return {
                f"{row['relation']}.{row['column']}": str(
                    await connection.fetchval(
                        f"SELECT sum(hashtextextended(ROW({row['key'] or '0'}, t.{row['column']})::text, 0)::numeric)"
                        f" FROM {row['relation']} AS t"
                    )
                )
                for row in await connection.fetch(COLUMNS)
            }

    def dump(self) -> list[str]:
        """pg_dump --schema-only without our backup and report tables, sorted: the place of a column does not count."""
        text = schema_dump(self.owner or self.database)
        entries = [entry for entry in re.split(r"\n--\n-- Name: ", text) if not OURS.search(entry)]
        lines = [line.rstrip(",") for entry in entries for line in entry.splitlines()]
        return sorted(_with_columns_in_order(line) for line in lines if line.strip())

    async def there_and_back(self) -> None:
        """Up, judged and counted, and down: every row and every definition is as it was."""
        before, schema = await self.checksums(), self.dump()
        await self.up()
        failed = await self.judge()
        assert failed == [], failed
        assert await self.values(MISCOUNTED) == []
        after = await self.checksums()
        home = await self.home()
        changed = {f"{home}.campaigns.{name}" for name in (*LEGACY, *PHASES)}
        kept = {name: value for name, value in before.items() if name not in changed}
        assert {name: after.get(name) for name in kept} == kept
        assert not {f"{home}.campaigns.{name}" for name in LEGACY} & set(after)
        await self.down()
        assert differences(await self.checksums(), before) == {}
        left = difference(self.dump(), schema)
        assert left == [], left

    async def home(self) -> str:
        """The schema as SQL writes it."""
        async with self.look() as connection:
            return str(await connection.fetchval("SELECT quote_ident($1)", self.schema))


def _with_columns_in_order(line: str) -> str:
    """Statistics over several columns and column lists of publications name them in the order of the table."""
    published = re.fullmatch(r"(ALTER PUBLICATION .* ADD TABLE ONLY \S+ \()([^()]*)(\).*)", line)
    if published is not None:
        return f"{published[1]}{', '.join(sorted(published[2].split(', ')))}{published[3]}"
    head, on, rest = line.partition(") ON ")
    if not line.startswith("CREATE STATISTICS ") or not on:
        return line
    columns, _, table = rest.partition(" FROM ")
    return f"{head}{on}{', '.join(sorted(columns.split(', ')))} FROM {table}"


def differences(found: dict[str, str], wanted: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """What two pictures do not share, by name."""
    names = found.keys() | wanted.keys()
    return {name: (found.get(name), wanted.get(name)) for name in names if found.get(name) != wanted.get(name)}


def difference(found: list[str], wanted: list[str]) -> list[str]:
    """Lines that one dump has and the other has not, + for too many, - for too few."""
    rest = list(wanted)
    added = []
    for line in found:
        if line in rest:
            rest.remove(line)
        else:
            added.append(f"+ {line}")
    return added + [f"- {line}" for line in rest]
