"""Names that this migration needs and somebody else may have. The same definition is ours, another one is a blocker."""

from __future__ import annotations

from tasks.core import catalog
from tasks.core.preflight.subject import Subject

RECORD = "migration_saved_objects"


async def check_names(subject: Subject) -> None:
    """Tables, views, indexes, types, functions, triggers and constraints."""
    relations = await _check_relations(subject)
    await _check_functions(subject, is_known_here=RECORD in relations)
    await _check_triggers(subject)
    await _check_constraints(subject)


async def _check_relations(subject: Subject) -> set[str]:
    rows = await subject.connection.fetch(catalog.index_definitions_query())
    wanted = {row[0]: row[2] for row in rows}
    ours: set[str] = set()
    for row in await subject.fetch("list_relations_named", subject.schema, [*catalog.our_relations(), *wanted]):
        name = row["name"]
        if name in wanted:
            _check_index(
                subject, row["name"], wanted[name], row["definition"], row["description"], valid=row["is_valid"]
            )
        elif row["comment"].startswith(catalog.MARK):
            ours.add(name)
        else:
            _taken(subject, row["description"], "which this migration did not make")
    return ours


def _check_index(
    subject: Subject, name: str, wanted: str, definition: str | None, description: str, *, valid: bool
) -> None:
    if definition is None:
        _taken(subject, description, f"where this migration makes {wanted}")
        return
    before, _, after = definition.partition(" ON ")
    plain = f"{before} ON {after.partition(' USING ')[0].rpartition('.')[2]} USING {after.partition(' USING ')[2]}"
    if plain != wanted:
        _taken(subject, f"index {name}", f"as {plain}, where this migration makes {wanted}")
    elif not valid:
        subject.warn(
            "index-unfinished",
            f"index {name} is invalid: an earlier build of it did not end",
            f"This run builds it again; DROP INDEX CONCURRENTLY {name} removes it.",
            [name],
        )


async def _check_functions(subject: Subject, *, is_known_here: bool) -> None:
    ours = catalog.our_functions()
    for row in await subject.fetch("list_functions_named", subject.schema, [*ours]):
        # Beside our own tables another body is another version of this tool.
        if row["body"].strip() not in ours[row["name"]] and not is_known_here:
            _taken(subject, f"function {row['description']}", "with another body")


async def _check_triggers(subject: Subject) -> None:
    for row in await subject.fetch("list_triggers", subject.oids):
        calls_ours = row["function_schema"] == subject.schema and row["function_name"] in catalog.our_functions()
        if row["name"] in catalog.our_triggers() and not calls_ours:
            _taken(subject, f"trigger {row['name']} on {row['table_name']}", f"calling {row['function_name']}()")


async def _check_constraints(subject: Subject) -> None:
    for row in await subject.fetch("list_check_constraints", subject.campaigns_oid):
        wanted = catalog.OUR_CHECKS.get(row["name"])
        if wanted is not None and (row["kind"] != "c" or catalog.plain_check(row["definition"]) != wanted):
            _taken(subject, f"constraint {row['name']} on campaigns", f"as {row['definition']}")


def _taken(subject: Subject, what: str, how: str) -> None:
    subject.block(
        "name-taken", f"a name that this migration needs is taken: {what}, {how}", "Rename it or drop it.", [what]
    )
