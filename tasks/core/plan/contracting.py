"""The part of a plan from the cut-over on: checks, dependents, indexes, duplicates, the two files, and the proof."""

from __future__ import annotations

from tasks.core import golang_migrate, sql_files
from tasks.core.core_migrations import CONTRACT, DEFAULT_PREDECESSOR, INDEXES
from tasks.core.dependents import Dependent, described, in_groups
from tasks.core.indexes import online_statement
from tasks.core.plan.facts import IndexBuild
from tasks.core.plan.lines import EXCLUSIVE, SHARE, TABLES, UPDATE, Lines
from tasks.core.plan.preparing import plan_benchmark, plan_rename, plan_vacuum

STEP = "core-migrations"
INSIDE = "inside 000035"
# Scans of generated_domains that the script's checks make.
VALIDATION_SCANS, INTEGRATION_SCANS = 4, 2


def plan_core(lines: Lines) -> None:
    """000035 and 000036, with everything slow ahead of them."""
    facts = lines.facts
    lines.step = STEP
    if facts.legacy:
        _plan_checks(lines)
        _plan_dependents(lines)
    else:
        for one in facts.collisions:
            plan_rename(lines, one)
    lines.add(_file(INDEXES), note="block index_definitions: the list of the indexes", seconds=facts.speed.ddl_seconds)
    for index in facts.indexes:
        _plan_index(lines, index)
    _plan_duplicates(lines)
    _plan_rebuilds(lines)
    _plan_files(lines)
    for table in ("campaigns", "generated_domains"):
        plan_vacuum(lines, f"VACUUM (ANALYZE) {table}")


def plan_proof(lines: Lines) -> None:
    """Validation, benchmark and integration test."""
    facts, speed = lines.facts, lines.facts.speed
    domains = speed.scan(speed.sizes.domains_bytes)
    lines.step = "validation"
    lines.add("sql/scripts/validate-migration.sql", SHARE, TABLES, seconds=VALIDATION_SCANS * domains)
    plan_benchmark(lines, "benchmark-after")
    lines.step = "integration-test"
    lines.add(
        "sql/scripts/integration-test.sql", SHARE, TABLES, seconds=INTEGRATION_SCANS * domains + 50 * facts.speed.ddl_seconds,
        note="writes only campaigns and domains of its own, and takes them back",
    )  # fmt: skip


def _plan_checks(lines: Lines) -> None:
    speed = lines.facts.speed
    if not lines.facts.done["checked"]:
        lines.add(
            "SELECT migration_add_checks()", EXCLUSIVE, "campaigns", seconds=5 * speed.ddl_seconds,
            note="NOT VALID: no row is read under the lock", ledger="check constraints added, not valid yet",
        )  # fmt: skip
    lines.add(
        "SELECT migration_validate_checks()", UPDATE, "campaigns", seconds=5 * speed.scan(speed.sizes.campaigns_bytes),
        ledger="check constraints validated",
    )  # fmt: skip


def _plan_dependents(lines: Lines) -> None:
    rehearsal = lines.facts.rehearsal
    if rehearsal is None or not rehearsal.dependents:
        return
    for view, statements in rehearsal.compatibility_views.items():
        for number, statement in enumerate(statements, start=1):
            lines.add(
                statement, seconds=lines.facts.speed.ddl_seconds, relation=view,
                ledger=f"{view} created" if number == len(statements) else "",
            )  # fmt: skip
    for group in in_groups(rehearsal.dependents):
        if group[0].group in lines.facts.swaps:
            _plan_swap(lines, group)
        else:
            for one in group:
                _plan_dependent(lines, one)


def _plan_dependent(lines: Lines, one: Dependent) -> None:
    moment, moved = lines.facts.speed.ddl_seconds, f"moved {one.kind} {one.identity}"
    if one.problem or one.rebuilt is None:
        lines.add(f"{one.kind} {one.identity}", note=f"in the way: {one.problem}")
    elif one.kind == "trigger":
        lines.add("sql/queries/save_dependent.sql", note=f"{moved}: recorded, 000035 rebuilds it", ledger=moved)
    elif one.kind == "policy":
        table = one.identity.partition(" ON ")[2]
        lines.add(one.rebuilt, EXCLUSIVE, ", ".join(dict.fromkeys(("campaigns", table))), seconds=moment, ledger=moved)
    elif one.kind == "function":
        lines.add(one.rebuilt, relation=one.identity, seconds=moment, ledger=moved)
    else:
        lines.add(one.rebuilt, EXCLUSIVE, one.identity, seconds=moment, ledger=moved, blocks="readers of the view")


def _plan_swap(lines: Lines, group: list[Dependent]) -> None:
    swap, speed = lines.facts.swaps[group[0].group], lines.facts.speed
    names = ", ".join(one.identity for one in group)
    for statement in swap.clear:
        lines.add(statement, relation=names, note="what an interrupted build has left")
    for identity, build in swap.builds.items():
        measured = lines.facts.materialized[identity]
        for number, statement in enumerate(build):
            seconds = speed.scan(measured["read_bytes"] if number == 0 else measured["bytes"])
            lines.add(
                statement, SHARE, identity, seconds=seconds + speed.ddl_seconds,
                size=measured["bytes"] if number == 0 else 0, note="beside the old one, under another name",
            )  # fmt: skip
    dropped = sum(lines.facts.materialized[one.identity]["bytes"] for one in group)
    for number, statement in enumerate(swap.swap, start=1):
        last = number == len(swap.swap)
        lines.add(
            statement, EXCLUSIVE, names, seconds=speed.ddl_seconds, blocks="readers of the view",
            size=-dropped if last else 0, note="all of the swap in one transaction",
            ledger=f"moved {described(group)}" if last else "",
        )  # fmt: skip


def _plan_index(lines: Lines, index: IndexBuild) -> None:
    seconds, size = lines.facts.speed.indexes[index.name]
    moment = lines.facts.speed.ddl_seconds
    if index.parts:
        leaves = max(sum(part["is_leaf"] and not part["valid"] for part in index.parts), 1)
        _plan_parts(lines, index, seconds / leaves, size / leaves)
        return
    if index.is_invalid:
        lines.add(
            f"DROP INDEX CONCURRENTLY {index.name}", UPDATE, index.table_name, note="left by an interrupted build"
        )
    lines.add(
        online_statement(index.definition), UPDATE, index.table_name,
        seconds=seconds, size=size, note=f"{index.purpose}; waits for transactions that are older than it",
    )  # fmt: skip
    lines.add(_remark(index), seconds=moment, relation=index.name, ledger=f"built index {index.name}")


def _plan_parts(lines: Lines, index: IndexBuild, seconds: float, size: float) -> None:
    moment = lines.facts.speed.ddl_seconds
    for part in index.parts:
        if part["is_leaf"] and not part["valid"]:
            if part["present"]:
                lines.add(part["removal"], UPDATE, part["table_name"], note="left by an interrupted build")
            lines.add(
                part["statement"].replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1), UPDATE, part["table_name"],
                seconds=seconds, size=size, note=f"part of {index.name}", ledger=f"built index {part['part']}",
            )  # fmt: skip
    for part in index.parts:
        if not part["is_leaf"] and not part["present"]:
            lines.add(
                part["statement"], EXCLUSIVE, part["table_name"], seconds=moment, note="by itself it holds nothing",
                ledger=f"created index {part['part']}",
            )  # fmt: skip
            if part["is_root"]:
                lines.add(part["remark"], relation=index.name)
    for part in index.parts:
        if not part["is_root"] and not part["attached"]:
            lines.add(
                part["attachment"], EXCLUSIVE, part["part"], seconds=moment, ledger=f"attached index {part['part']}"
            )


def _remark(index: IndexBuild) -> str:
    text = index.purpose.replace("'", "''")
    return f"COMMENT ON INDEX {index.name} IS '{text}'"


def _plan_duplicates(lines: Lines) -> None:
    moment = lines.facts.speed.ddl_seconds
    for one in lines.facts.duplicates:
        ledger = f"dropped {one.kind} {one.name}"
        if one.kind == "foreign key":
            lines.add(
                one.drop_statement, EXCLUSIVE, ", ".join(dict.fromkeys((one.table_name, *one.core_tables))), seconds=moment,
                note=f"superfluous: {one.reason}", ledger=ledger,
            )  # fmt: skip
            continue
        lines.add(
            one.drop_statement, UPDATE, one.table_name, seconds=2 * moment, size=-one.bytes, ledger=ledger,
            note=f"superfluous: {one.reason}; {one.scans or 0:,} scans on this server",
        )  # fmt: skip


def _plan_rebuilds(lines: Lines) -> None:
    facts = lines.facts
    gone = {one.oid for one in facts.duplicates if one.kind == "index"}
    for index in facts.grown:
        if index["oid"] in gone:
            continue
        # By then it may have given up its name.
        bare = index["bare_name"]
        statement, name = (index[key].replace(bare, facts.renamed.get(bare, bare)) for key in ("statement", "name"))
        # An entry takes some three times the work of reading its row, and a quarter of its bytes.
        lines.add(
            statement, UPDATE, index["table_name"], seconds=3 * facts.speed.scan(4 * index["bytes"]), size=index["bytes"],
            note="it holds a status, and grows while statuses are settled; waits for transactions that are older than it",
            ledger=f"rebuilt index {name}",
        )  # fmt: skip


def _plan_files(lines: Lines) -> None:
    facts, moment = lines.facts, lines.facts.speed.ddl_seconds
    version = facts.version
    if not facts.has_version_table and facts.parameters.create_version_table:
        predecessor = facts.parameters.expected_version or DEFAULT_PREDECESSOR
        lines.add("sql/queries/create_version_table.sql", relation=golang_migrate.TABLE, seconds=moment)
        lines.add(
            sql_files.query("insert_migration_version"), relation=golang_migrate.TABLE, note=f"$1 is {predecessor}"
        )
        version = (predecessor, False)
    has_table = facts.has_version_table or facts.parameters.create_version_table
    if version is not None and version[0] < CONTRACT:
        lines.add("sql/queries/save_predecessor.sql", note=f"the way back writes {version[0]} again")
    if facts.legacy:
        _plan_version(lines, CONTRACT, has_table=has_table)
        _plan_contract(lines)
    _plan_version(lines, INDEXES, has_table=has_table)
    lines.add(
        _file(INDEXES), seconds=6 * moment, ledger="000036 up", note="the functions and views; its indexes are there"
    )


def _plan_version(lines: Lines, version: int, *, has_table: bool) -> None:
    if has_table:
        table = golang_migrate.TABLE
        lines.add("TRUNCATE schema_migrations", EXCLUSIVE, table, note=f"in one transaction with {version:06d}")
        lines.add(sql_files.query("insert_migration_version"), "ROW EXCLUSIVE", table, note=f"$1 is {version}")


def _plan_contract(lines: Lines) -> None:
    facts, moment = lines.facts, lines.facts.speed.ddl_seconds
    lines.add(
        _file(CONTRACT), EXCLUSIVE, "campaigns", seconds=8 * moment, ledger="000035 up",
        note="whole or nothing; the lock is held for the lines that follow, which stand inside of it",
    )  # fmt: skip
    if facts.rehearsal is None:
        return
    for one in facts.rehearsal.dependents:
        if one.kind == "trigger" and one.rebuilt and not one.problem:
            lines.add(one.rebuilt, EXCLUSIVE, "campaigns", seconds=moment, note=INSIDE)
    for statement, size in facts.rehearsal.drops:
        lines.add(statement, EXCLUSIVE, "campaigns", seconds=moment, size=-size, note=INSIDE)


def _file(version: int) -> str:
    (path,) = sql_files.MIGRATIONS.glob(f"{version:06d}_*.up.sql")
    return f"sql/migrations/{path.name}"
