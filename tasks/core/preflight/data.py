"""The rows: what every pair of legacy values becomes, and the rows that break the rules, with their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tasks.core import catalog
from tasks.core.models import CensusRow, State
from tasks.core.preflight.subject import Record, Subject, counted, listed

Judge = Callable[[Record], bool]


def check_mappings(subject: Subject) -> None:
    """The parameters may map what this migration does not know, and nothing else."""
    for option, given, known in (
        ("map_campaign_type", subject.parameters.map_campaign_type, catalog.CAMPAIGN_TYPES),
        ("map_status", subject.parameters.map_status, catalog.STATUSES),
    ):
        for value, target in given.items():
            if value in known:
                subject.block(
                    "known-value-mapped",
                    f"{option} maps {value!r} to {target}, but that value is known: it becomes {known[value]}",
                    f"Take {value!r} out of {option}.",
                    [value],
                )


async def take_census(subject: Subject) -> None:
    """Count every pair of legacy values, and judge unknown ones, contradictions and phases that are none."""
    rows = await subject.fetch_composed("compose_campaign_values", subject.campaigns_oid)
    parameters = subject.parameters
    pairs: Counter[tuple[str | None, str | None]] = Counter()
    for row in rows:
        pairs[row["campaign_type"], row["status"]] += row["campaigns"]
    subject.census = [
        CensusRow(
            campaign_type=campaign_type,
            status=status,
            current_phase=catalog.map_campaign_type(campaign_type, parameters),
            phase_status=catalog.map_status(status, parameters),
            campaigns=number,
        )
        for (campaign_type, status), number in pairs.items()
    ]
    _find_unknown(
        subject, rows, "campaign_type", "current_phase", "map_campaign_type", catalog.PHASE_VALUES["current_phase"]
    )
    _find_unknown(subject, rows, "status", "phase_status", "map_status", catalog.PHASE_VALUES["phase_status"])
    _find_contradictions(subject, rows)
    _find_illegal(subject, rows)
    _find_unused_mappings(subject, pairs)


def check_phases_values(subject: Subject, rows: Sequence[Record]) -> None:
    """After the contract: every campaign has a phase and a status that exist."""
    for name, values in catalog.PHASE_VALUES.items():
        bad = [row for row in rows if row[name] not in values]
        if bad:
            _note(subject, "phases-value", f"have no valid {name} ({_values(bad, name)})", "Correct these rows.", bad)


async def check_contracted_values(subject: Subject) -> None:
    """Judge the phases values of a database that has no legacy columns any more."""
    check_phases_values(subject, await subject.fetch_composed("compose_campaign_values", subject.campaigns_oid))


def _find_unknown(
    subject: Subject, rows: Sequence[Record], legacy: str, phases: str, option: str, targets: Sequence[str]
) -> None:
    mapped = {"campaign_type": catalog.map_campaign_type, "status": catalog.map_status}[legacy]
    flag = f"--{option.replace('_', '-')}"
    # Where a filled phases value wins, the legacy value is written anew and need not be known.
    wins = subject.parameters.prefer == "phases"
    unknown: dict[str | None, list[Record]] = {}
    for row in rows:
        if mapped(row[legacy], subject.parameters) is None and not (wins and row[phases] in targets):
            unknown.setdefault(row[legacy], []).append(row)
    for value, bad in unknown.items():
        if value is None:
            null_flag = f"--map-null-{legacy.replace('_', '-')}"
            remedy = f"Fill it in, or say what it means with {null_flag} and one of {listed(targets)}."
            _note(subject, f"null-{legacy.replace('_', '-')}", f"have no {legacy} (NULL)", remedy, bad)
        else:
            remedy = f"Correct the rows, or map the value with {flag} to one of {listed(targets)}."
            _note(subject, f"unknown-{legacy.replace('_', '-')}", f"have the unknown {legacy} {value!r}", remedy, bad)


def _find_contradictions(subject: Subject, rows: Sequence[Record]) -> None:
    parameters = subject.parameters
    # Once both models are in step the sync has written these pairs; whether each is its doing the transform looks at.
    in_step = subject.state is State.DUAL

    def phase_contradicts(row: Record) -> bool:
        wanted = catalog.map_campaign_type(row["campaign_type"], parameters)
        free = row["campaign_type"] in catalog.TYPES_OF_ALL_PHASES or (
            in_step and row["campaign_type"] in catalog.TYPES_OF_PHASE.get(row["current_phase"], ())
        )
        return row["current_phase"] is not None and wanted is not None and not free and wanted != row["current_phase"]

    def status_contradicts(row: Record) -> bool:
        wanted = catalog.map_status(row["status"], parameters)
        free = in_step and row["status"] in catalog.STATUSES_OF_PHASE_STATUS.get(row["phase_status"], ())
        return row["phase_status"] is not None and wanted is not None and not free and wanted != row["phase_status"]

    for legacy, phases, judge in (
        ("campaign_type", "current_phase", phase_contradicts),
        ("status", "phase_status", status_contradicts),
    ):
        bad = [row for row in rows if judge(row) and row[phases] in catalog.PHASE_VALUES[phases]]
        if not bad:
            continue
        examples = listed([f"{row[legacy]} with {row[phases]}" for row in bad], shown=5)
        text = f"have a {phases} that contradicts their {legacy} ({examples})"
        if parameters.prefer is None:
            remedy = "Say which side wins with --prefer phases or --prefer legacy."
            _note(subject, f"contradicting-{phases.replace('_', '-')}", text, remedy, bad)
        else:
            number, keys = _sum(bad)
            subject.warn(
                f"contradicting-{phases.replace('_', '-')}",
                f"{counted(number, 'campaign')} {text}",
                f"As --prefer {parameters.prefer} says, {phases if parameters.prefer == 'phases' else legacy} wins.",
                keys,
                number,
            )


def _find_illegal(subject: Subject, rows: Sequence[Record]) -> None:
    for legacy, phases in (("campaign_type", "current_phase"), ("status", "phase_status")):
        mapped = {"campaign_type": catalog.map_campaign_type, "status": catalog.map_status}[legacy]
        bad = [
            row
            for row in rows
            if row[phases] is not None
            and row[phases] not in catalog.PHASE_VALUES[phases]
            # With --prefer legacy such a value is written over, but for the types that no phase contradicts.
            and not (
                subject.parameters.prefer == "legacy"
                and mapped(row[legacy], subject.parameters) is not None
                and row[legacy] not in catalog.TYPES_OF_ALL_PHASES
            )
        ]
        if bad:
            remedy = (
                f"Set it to one of {listed(catalog.PHASE_VALUES[phases])}, or to NULL to have it filled from {legacy}."
            )
            _note(subject, "phases-value", f"have a {phases} that is none ({_values(bad, phases)})", remedy, bad)


def _find_unused_mappings(subject: Subject, pairs: Counter[tuple[str | None, str | None]]) -> None:
    types, statuses = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    unused = [f"map_campaign_type {value!r}" for value in subject.parameters.map_campaign_type if value not in types]
    unused += [f"map_status {value!r}" for value in subject.parameters.map_status if value not in statuses]
    if unused:
        subject.warn("mapping-unused", f"no campaign has the value of {listed(unused)}", "Check the spelling.", unused)


async def count_rows(subject: Subject) -> None:
    """How many campaigns and domains there are."""
    row = await subject.fetch_one("count_rows")
    assert row is not None
    subject.campaigns, subject.domains = row["campaigns"], row["domains"]


async def check_names(subject: Subject) -> None:
    """Every name fits into the index of 000036 that holds it."""
    row = await subject.fetch_one("find_long_names")
    if row is not None and row["count"]:
        subject.block(
            "name-too-long",
            f"{counted(row['count'], 'campaign')} with a name too long for idx_campaigns_phase_transitions"
            f" (the longest has {row['longest']:,} bytes)",
            "Shorten these names to some 2,000 bytes.",
            row["keys"],
            row["count"],
        )


async def check_unchecked_rules(subject: Subject) -> None:
    """Every campaign keeps the rules that are NOT VALID: a write has them checked, and the transform writes every row."""
    for rule in await subject.fetch("list_unchecked_rules", subject.campaigns_oid, list(catalog.PHASES_COLUMNS)):
        row = await subject.connection.fetchrow(rule["census"])
        assert row is not None
        if row["count"]:
            subject.block(
                "broken-rule",
                f"{counted(row['count'], 'campaign')} that {rule['name']} would refuse as soon as they are written"
                f" ({rule['definition']})",
                "Correct these campaigns, or drop the constraint until they are.",
                row["keys"],
                row["count"],
            )


async def check_users(subject: Subject) -> None:
    """Every campaign has a user that exists."""
    if subject.users is None:
        return
    (row,) = await subject.fetch_composed(
        "compose_campaigns_without_user", subject.campaigns_oid, subject.users["oid"], subject.users["key_column"]
    )
    if row["count"]:
        gone = row["count"] - row["without_id"]
        ways = [f"{row['without_id']:,} with no user_id"] * bool(row["without_id"])
        ways += [f"{gone:,} whose user is not in {subject.users_table}"] * bool(gone)
        subject.block(
            "campaign-without-user",
            f"{counted(row['count'], 'campaign')} without a user ({', '.join(ways)})",
            "Give these campaigns a user that exists, or delete them.",
            row["keys"],
            row["count"],
        )


async def check_orphans(subject: Subject) -> None:
    """Every domain has a campaign that exists. Without a validated foreign key that takes one scan of the domains."""
    domains = subject.tables["generated_domains"]
    keys = await subject.fetch("find_domain_foreign_keys", domains["oid"], subject.campaigns_oid)
    trusted = any(key["is_validated"] for key in keys)
    if not keys:
        subject.warn(
            "foreign-key-missing",
            "generated_domains.domain_generation_campaign_id has no foreign key to campaigns",
            "Add one (NOT VALID, then VALIDATE): without it domains outlive their campaigns.",
        )
    elif not trusted:
        subject.warn(
            "foreign-key-not-valid",
            f"foreign key {keys[0]['name']} of generated_domains is NOT VALID: older rows were never checked",
            f"ALTER TABLE generated_domains VALIDATE CONSTRAINT {keys[0]['name']}.",
            [keys[0]["name"]],
        )
    is_not_null = subject.columns["generated_domains"]["domain_generation_campaign_id"]["is_not_null"]
    if trusted and is_not_null:
        return
    row = await subject.fetch_one("find_orphaned_domains")
    if row is not None and row["count"]:
        subject.block(
            "orphaned-domains",
            f"{counted(row['count'], 'orphaned domain')}: their campaigns ({row['campaigns']:,} of them) are not there",
            "Delete these domains, or bring their campaigns back.",
            row["keys"],
            row["count"],
        )


def _note(subject: Subject, code: str, text: str, remedy: str, rows: Sequence[Record]) -> None:
    number, keys = _sum(rows)
    subject.block(
        code, f"{counted(number, 'campaign')} {text if number > 1 else _singular(text)}", remedy, keys, number
    )


def _singular(text: str) -> str:
    return text.replace("have ", "has ", 1).replace("their ", "its ", 1)


def _sum(rows: Sequence[Record]) -> tuple[int, list[str]]:
    return sum(row["campaigns"] for row in rows), sorted(key for row in rows for key in row["keys"])


def _values(rows: Sequence[Record], name: str) -> str:
    return listed(sorted({repr(row[name]) for row in rows}), shown=5)
