"""Tables of validation results beside the domains' own statuses: do they fit, and where do the two contradict each other?"""

from __future__ import annotations

from collections import Counter

from tasks.core import catalog, domain_status
from tasks.core.preflight.subject import Record, Subject, counted, listed

GUARD = "zzz_migration_keep_domain"
WINNERS = {
    "newest": "whichever was checked last wins: the result or the domain",
    "domain": "the domain's own status wins",
    "result": "the result wins",
}
# Which verdicts are written, by the parameter; a missing status always is.
WRITTEN = {
    "newest": {"missing", "result newer"},
    "domain": {"missing"},
    "result": {"missing", "result newer", "domain newer"},
}


async def check_results(subject: Subject) -> None:
    """Compare each table of results with the domains; nothing where there is none."""
    written = 0
    for table in await subject.connection.fetch(domain_status.results_query()):
        if table["problem"] is not None:
            subject.block(
                "results-shape",
                f"{table['table_name']} cannot be compared with generated_domains.{table['column_name']}:"
                f" {table['problem']}",
                "Give it that shape, or another name while this migration runs.",
                [table["table_name"]],
            )
        elif not await _find_unknown(subject, table):
            written += await _compare(subject, table)
            await _find_strays(subject, table)
    if written:
        await _check_triggers(subject, written)


async def _find_unknown(subject: Subject, table: Record) -> bool:
    rows = await subject.connection.fetch(table["unknown_statement"])
    if rows:
        total = sum(row["results"] for row in rows)
        named = listed([f"{_shown(row['value'])} ({row['results']:,})" for row in rows])
        subject.block(
            "results-unknown-status",
            f"{counted(total, 'row')} of {table['table_name']} have a validation_status that is not known: {named}",
            "Correct these rows: nothing is mapped by a default.",
            [key for row in rows for key in row["keys"] or ()],
            total,
        )
    return bool(rows)


def _shown(value: str | None) -> str:
    return "NULL" if value is None else repr(value)


async def _compare(subject: Subject, table: Record) -> int:
    """Tell how many agree and what will happen to the others. Returns how many statuses will be written."""
    column, preference = table["column_name"], subject.parameters.domain_status
    domains: Counter[str] = Counter()
    answers: set[str] = set()
    for row in await subject.connection.fetch(table["census_statement"]):
        domains[row["verdict"]] += row["domains"]
        if row["verdict"] in WRITTEN[preference]:
            answers.add(row["answer"])
    written = sum(number for verdict, number in domains.items() if verdict in WRITTEN[preference])
    contradicting = domains["result newer"] + domains["domain newer"]
    subject.warn(
        "results-beside-domains",
        f"{table['table_name']} and generated_domains.{column}: {counted(domains['agrees'], 'domain')} agree,"
        f" {domains['missing']:,} lack a status that a result has, {contradicting:,} contradict their newest result"
        f" (in {domains['result newer']:,} the result is newer), {domains['waits']:,} pending ones have none newer",
        f"{written:,} statuses will be taken from results, listed and taken back on the way back; as"
        f" --domain-status {preference} says, {WINNERS[preference]}.",
        [table["table_name"]],
    )
    await _check_allowed(subject, column, answers)
    return written


async def _check_allowed(subject: Subject, column: str, answers: set[str]) -> None:
    """The column's type and constraints admit what is to be written."""
    oid = subject.tables["generated_domains"]["oid"]
    length = subject.columns["generated_domains"][column]["length"]
    labels = {row["value"] for row in await subject.fetch("list_enum_values", oid, column)}
    refused = {answer for answer in answers if (labels and answer not in labels) or (length and len(answer) > length)}
    for row in await subject.fetch("list_check_constraints", oid):
        allowed = catalog.allowed_values(row["definition"])
        if row["kind"] == "c" and list(row["columns"]) == [column] and allowed:
            refused |= answers - allowed
    if refused:
        subject.block(
            "results-status-refused",
            f"generated_domains.{column} does not allow {listed(sorted(refused))}, which results say",
            "Widen its type or its check constraint.",
            [f"generated_domains.{column}"],
        )


async def _find_strays(subject: Subject, table: Record) -> None:
    row = await subject.connection.fetchrow(table["strays_statement"])
    assert row is not None
    if row["strays"]:
        subject.warn(
            "results-without-domain",
            f"{row['strays']:,} of {counted(row['results'], 'row')} of {table['table_name']} belong to no domain",
            "They are left alone: neither a reference nor their campaign and name lead to a domain.",
            [table["table_name"]],
            row["strays"],
        )


async def _check_triggers(subject: Subject, written: int) -> None:
    found = await subject.fetch_one("needs_status_guard")
    assert found is not None
    if found["comes_last"]:
        subject.block(
            "trigger-comes-last",
            f"trigger {listed(found['comes_last'])} on generated_domains fires after {GUARD} and could undo its work",
            "Rename it (ALTER TRIGGER ... RENAME TO): triggers fire in the order of their names.",
            found["comes_last"],
        )
    if found["fired"]:
        subject.warn(
            "domain-triggers",
            f"our updates of {written:,} statuses in generated_domains will"
            f" fire {counted(len(found['fired']), 'trigger')}: {listed(found['fired'])}",
            "They see each of these domains once more; what they write into the row itself is put back.",
            found["fired"],
        )
