"""The functions of a database that use the legacy columns: work that is left to whoever owns them."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
from pydantic import Field

from tasks.core import catalog, sql_files
from tasks.core.database import Connection
from tasks.core.function_bodies.examine import Body, Use, examine
from tasks.core.function_bodies.plpgsql import Argument, Header
from tasks.core.function_bodies.scopes import Surroundings
from tasks.core.models import Model


class FiredBy(Model):
    """A trigger that calls a function."""

    name: str
    table: str
    on_campaigns: bool
    on_domains: bool
    enabled: bool


class LegacyFunction(Model):
    """A function whose body uses legacy columns, or may.

    Attributes:
        identity: as `regprocedure` writes it.
        triggers: those that call it: what it does wrong, it does at every write.
        called_by: indexes, checks, defaults, policies and conditions of triggers, which call it at writes and reads, too.
    """

    identity: str
    language: str
    uses: list[Use]
    triggers: list[FiredBy] = Field(default_factory=list)
    called_by: list[str] = Field(default_factory=list)

    @property
    def fails_at_writes(self) -> list[Use]:
        """Uses that make writes to the core tables fail once the columns are gone: fields of the campaign that is written, and
        statements that name the columns.
        """
        if not self.at_core_writes:
            return []
        fields = any(trigger.on_campaigns for trigger in self.at_core_writes)
        return [use for use in self.uses if use.how == "named" or (use.how == "row" and fields)]

    @property
    def at_core_writes(self) -> list[FiredBy]:
        """Its triggers on the core tables that are not switched off."""
        return [
            trigger for trigger in self.triggers if trigger.enabled and (trigger.on_campaigns or trigger.on_domains)
        ]

    @property
    def fails_with_more_columns(self) -> list[Use]:
        """Uses that make every write to campaigns fail as soon as the phases columns are there."""
        if not any(trigger.on_campaigns and trigger.enabled for trigger in self.triggers):
            return []
        return [use for use in self.uses if use.how == "spread"]


async def find_legacy_functions(connection: Connection, campaigns: int) -> list[LegacyFunction]:
    """Read the body of every function that may use legacy columns of campaigns, but for ours and those of extensions.

    SQL and PL/pgSQL are parsed; where the parser gives up, and in other languages, words are searched for and marked as such.
    A body that PostgreSQL has parsed itself (BEGIN ATOMIC) is none of these: the catalog knows what it reads.

    Args:
        campaigns: the oid of the table, in the schema that comes first on the search path.
    """
    schema = await connection.fetchval("SELECT current_schema()")
    rows = await connection.fetch(sql_files.query("list_function_bodies"), campaigns, [*catalog.our_functions()])
    alike = await connection.fetch(sql_files.query("list_columns_named_alike"), campaigns)
    columns = {row["relation"]: frozenset(row["columns"]) for row in alike}
    found = []
    for row in rows:
        triggers = json.loads(row["triggers"])
        uses = examine(_body(row, triggers, schema, columns))
        if uses:
            fired_by = [FiredBy.model_validate({name: one[name] for name in FiredBy.model_fields}) for one in triggers]
            found.append(
                LegacyFunction(
                    identity=row["identity"],
                    language=row["language"],
                    uses=uses,
                    triggers=fired_by,
                    called_by=row["called_by"],
                )
            )
    return found


def _body(row: asyncpg.Record, triggers: list[dict[str, Any]], schema: str, columns: dict[str, frozenset[str]]) -> Body:
    arguments = [Argument(**one) for one in json.loads(row["arguments"])]
    on_campaigns = [one for one in triggers if one["on_campaigns"]]
    inputs = [one for one in arguments if one.mode in "ibv"]
    numbers = {number for number, one in enumerate(inputs, start=1) if one.kind == "campaigns"}
    return Body(
        language=row["language"],
        text=row["body"],
        header=Header(row["returns"], row["is_procedure"], arguments),
        around=Surroundings(
            schema=schema,
            sees_campaigns=row["sees_campaigns"],
            columns=columns,
            rows=frozenset(
                [one.name.lower() for one in arguments if one.kind == "campaigns" and one.name]
                + (["new", "old"] if on_campaigns else [])
            ),
            row_parameters=frozenset(numbers),
            transition_tables=frozenset(
                one[kind].lower() for one in on_campaigns for kind in ("old_table", "new_table") if one[kind]
            ),
        ),
    )
