"""Names that this migration needs and somebody else may have. The same definition is ours.

Another one is renamed where nothing calls it by its name, and gets its name back on the way down; otherwise it is a blocker.
"""

from __future__ import annotations

from tasks.core import catalog
from tasks.core.collisions import Collision, find_collisions
from tasks.core.preflight.subject import Subject

RECORD = "migration_saved_objects"
CALLED = "Statements call it by its name, so only you can say what else it may be called: rename it or drop it."


async def check_names(subject: Subject) -> None:
    """Tables, views, indexes, types, functions, triggers and constraints."""
    relations = await _check_relations(subject)
    await _check_functions(subject, is_known_here=RECORD in relations)
    for collision in await find_collisions(subject.connection):
        _note(subject, collision)
    await _check_unfinished(subject)


async def _check_relations(subject: Subject) -> set[str]:
    ours: set[str] = set()
    for row in await subject.fetch("list_relations_named", subject.schema, [*catalog.our_relations()]):
        if row["comment"].startswith(catalog.MARK):
            ours.add(row["name"])
        else:
            _taken(subject, row["description"], "which this migration did not make")
    return ours


async def _check_unfinished(subject: Subject) -> None:
    names = [row[0] for row in await subject.connection.fetch(catalog.index_definitions_query())]
    collisions = {finding.keys[0] for finding in subject.findings if finding.code in {"name-taken", "name-kept"}}
    for row in await subject.fetch("list_relations_named", subject.schema, names):
        if not row["is_valid"] and row["name"] not in collisions:
            subject.warn(
                "index-unfinished",
                f"index {row['name']} is invalid: an earlier build of it did not end",
                f"This run builds it again; DROP INDEX CONCURRENTLY {row['name']} removes it.",
                [row["name"]],
            )


async def _check_functions(subject: Subject, *, is_known_here: bool) -> None:
    ours = catalog.our_functions()
    for row in await subject.fetch("list_functions_named", subject.schema, [*ours]):
        # Beside our own tables another body is another version of this tool.
        if row["body"].strip() not in ours[row["name"]] and not is_known_here:
            _taken(subject, f"function {row['description']}", "with another body")


def _note(subject: Subject, collision: Collision) -> None:
    if collision.problem is None:
        subject.warn(
            "name-kept",
            f"{collision.described} bears a name that this migration needs; it will be kept under the name {collision.new_name}",
            "Nothing calls it by its name; the way back gives the name back. Rename it yourself for another name.",
            [collision.name],
        )
        return
    subject.block(
        "name-taken",
        f"a name that this migration needs is taken: {collision.described}, where this migration makes"
        f" {collision.wanted}; {collision.problem}",
        "Rename it or drop it.",
        [collision.name],
    )


def _taken(subject: Subject, what: str, how: str) -> None:
    subject.block("name-taken", f"a name that this migration needs is taken: {what}, {how}", CALLED, [what])
