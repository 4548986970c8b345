"""The part of a plan that destroys nothing: backup, measurements, both models live."""

from __future__ import annotations

from tasks.core.collisions import Collision
from tasks.core.plan.facts import Facts
from tasks.core.plan.lines import EXCLUSIVE, NO_LOCK, ROW, SHARE, SHARE_ROW, TABLES, UPDATE, Lines

BENCHMARK = "sql/scripts/performance-benchmark.sql"
TOOLKIT = "sql/scripts/migrate-campaign-data.sql"
STATUSES = "sql/scripts/settle-domain-status.sql"
CHECKED_SIDES = 2
GIGABYTE = 1e9
COPY_STEPS = {"benchmark-before": "before-copy", "benchmark-after": "after-copy"}


def plan_start(lines: Lines) -> None:
    """The ledger and the backup."""
    facts, speed = lines.facts, lines.facts.speed
    lines.step = "start"
    lines.add(
        "sql/queries/create_ledger.sql", note="creates nothing where it is there" if facts.ledger_is_there else "",
        seconds=2 * speed.ddl_seconds,
    )  # fmt: skip
    lines.step = "backup"
    whole = speed.sizes.database_bytes
    dumped = whole * speed.dump_share
    lines.add(
        "pg_dump", SHARE, "every table", seconds=3 * speed.scan(whole) + whole / max(speed.dump_rate, 1), size=dumped,
        note=f"{facts.parameters.backup_format} format, bytes of the backup; every row is also counted",
    )  # fmt: skip
    if facts.parameters.restore_check:
        lines.add(
            "pg_restore", NO_LOCK, "a scratch database", seconds=2 * whole / max(speed.dump_rate, 1), size=whole,
            note="dropped again when it has been compared",
        )  # fmt: skip


def plan_benchmark(lines: Lines, step: str) -> None:
    """VACUUM, so that before and after are measured alike, and all rounds of the patterns."""
    speed, parameters = lines.facts.speed, lines.facts.parameters
    _plan_copy(lines, step)
    lines.step = step
    plan_vacuum(lines, f"VACUUM (ANALYZE) {TABLES}")
    if speed.benchmark_seconds is None:
        seconds, note = 0.0, "how long they take could not be tried out"
    else:
        seconds = speed.benchmark_seconds * (2 * parameters.benchmark_rounds + 1)
        note = f"a warm-up and {parameters.benchmark_rounds} rounds of two, as long as the legacy model takes"
    lines.add(BENCHMARK, SHARE, TABLES, seconds=seconds, note=note)


def _plan_copy(lines: Lines, step: str) -> None:
    """The copy that the pattern that writes runs on, or that keeps the state before; dropped when the run is over."""
    speed, parameters = lines.facts.speed, lines.facts.parameters
    whole = speed.sizes.database_bytes
    restoring = 2 * whole / max(speed.dump_rate, 1)
    lines.step = COPY_STEPS[step]
    keeps_before = parameters.paired and parameters.stop_after is None and step == "benchmark-before"
    if keeps_before:
        lines.add(
            "pg_restore", NO_LOCK, "a copy of the state before", seconds=restoring, size=whole,
            note="CREATE DATABASE ... TEMPLATE instead, while nobody is connected; kept until both states are timed in turn",
        )  # fmt: skip
    elif not parameters.benchmark_writes and whole <= parameters.clone_limit_gb * GIGABYTE:
        if step == "benchmark-after":
            lines.add(
                "pg_dump", SHARE, "every table", seconds=whole / max(speed.dump_rate, 1),
                size=whole * speed.dump_share, note="for the copy; in a directory that is removed again",
            )  # fmt: skip
        lines.add(
            "pg_restore", NO_LOCK, "a copy of the database", seconds=restoring, size=whole,
            note="the pattern that writes is timed on it; dropped when the run is over",
        )  # fmt: skip


def plan_vacuum(lines: Lines, statement: str, ledger: str = "") -> None:
    """VACUUM (ANALYZE) reads what has changed since the last one, at most the table and all of its indexes: that."""
    sizes = lines.facts.speed.sizes
    size = (sizes.campaigns_whole_bytes if "campaigns" in statement else 0) + (
        sizes.domains_whole_bytes if "generated_domains" in statement else 0
    )
    relation = statement.removeprefix("VACUUM (ANALYZE) ")
    lines.add(statement, UPDATE, relation, seconds=lines.facts.speed.scan(size), ledger=ledger)


def plan_rename(lines: Lines, one: Collision) -> None:
    """What bears one of our names is kept aside under another one."""
    lines.add(TOOLKIT, note="our table of what is changed", seconds=lines.facts.speed.ddl_seconds)
    lock, relation = (UPDATE, one.name) if one.kind == "index" else (EXCLUSIVE, one.table_name)
    lines.add(
        one.rename_statement, lock, relation, seconds=lines.facts.speed.ddl_seconds,
        note=one.problem or f"{one.kind} {one.name} is {one.found}, this migration needs the name",
        ledger=f"{one.described} is now called {one.new_name}",
    )  # fmt: skip


def plan_transform(lines: Lines) -> None:
    """Both models live and in step, every row filled."""
    facts, speed, parameters = lines.facts, lines.facts.speed, lines.facts.parameters
    sizes, moment = speed.sizes, speed.ddl_seconds
    lines.step = "transform"
    for one in facts.collisions:
        plan_rename(lines, one)
    lines.add(TOOLKIT, seconds=30 * moment, note="our functions and tables; nothing of the application's")
    copied = sizes.campaigns_rows * speed.copied_row_seconds
    lines.add(
        "SELECT migration_backup_campaigns()", SHARE, "campaigns", seconds=2 * copied, size=2 * sizes.campaigns_bytes,
        note="two copies of campaigns; an earlier run's are kept",
    )  # fmt: skip
    if not facts.done["expanded"]:
        lines.add("SELECT migration_find_inverse_mappings()", seconds=moment)
        lines.add("SELECT count(*) FROM migration_judge_phases_columns()", seconds=moment)
        lines.add("SELECT migration_prepare_sync()", seconds=moment, note="the functions of the triggers to come")
        _plan_contradictions(lines)
        both = "migration_expand_columns(), migration_install_sync()"
        lines.add(
            f"SELECT {both}", EXCLUSIVE, "campaigns", seconds=12 * moment, ledger=both,
            note="the phases columns that lack, and the triggers that keep both models in step",
        )  # fmt: skip
    lines.add(
        "SELECT migration_refuse_unknown_values()", SHARE, "campaigns", seconds=2 * speed.scan(sizes.campaigns_bytes)
    )
    _plan_contradictions(lines)
    if not facts.done["measured"]:
        lines.add(
            "SELECT migration_mark_uncounted()", ROW, "campaign_metrics_baseline", seconds=copied,
            size=100 * sizes.campaigns_rows,
        )  # fmt: skip
        lines.add(
            "SELECT migration_install_metrics()", SHARE_ROW, "generated_domains",
            seconds=6 * moment, ledger="migration_install_metrics()",
            note="the triggers that keep the metrics, on the table and each partition",
        )  # fmt: skip
    lines.add(
        "SELECT migration_hand_over()", seconds=5 * moment,
        note="our objects belong to the owner of campaigns, PUBLIC has no right to them",
    )  # fmt: skip
    lines.add(
        "SELECT migration_count_metrics()", SHARE, "generated_domains", seconds=speed.scan(sizes.domains_bytes),
        note="one pass; writers go on",
    )  # fmt: skip
    share = facts.to_fill / max(sizes.campaigns_rows, 1)
    filled = facts.to_fill * speed.written_row_seconds * (1 + sizes.campaigns_indexes)
    lines.add(
        "SELECT last_id, filled FROM migration_fill_batch($1, $2, $3)", ROW, "campaigns", seconds=filled,
        size=share * sizes.campaigns_whole_bytes, blocks="writers of the same rows",
        note=f"{facts.to_fill:,} campaigns in batches of about {parameters.batch_ms} ms, each a transaction",
        ledger="batch up to " if facts.to_fill else "",
    )  # fmt: skip
    lines.add("SELECT migration_forget_deleted()", ROW, "campaign_metrics_baseline", note="campaigns deleted meanwhile")
    if facts.results:
        _plan_statuses(lines)


def _plan_contradictions(lines: Lines) -> None:
    if lines.facts.parameters.prefer is None:
        sizes = lines.facts.speed.sizes
        lines.add(
            "SELECT migration_refuse_contradictions()", SHARE, "campaigns",
            seconds=lines.facts.speed.scan(sizes.campaigns_bytes),
        )  # fmt: skip


def _plan_statuses(lines: Lines) -> None:
    facts, speed = lines.facts, lines.facts.speed
    results = ", ".join(facts.results)
    lines.add(
        STATUSES, note=f"our functions; compared are generated_domains and {results}", seconds=4 * speed.ddl_seconds
    )
    lines.add(
        "SELECT * FROM migration_status_plan($1)", SHARE, f"generated_domains, {results}",
        seconds=CHECKED_SIDES * speed.scan(speed.sizes.domains_bytes), note=f"$1 is '{facts.parameters.domain_status}'",
    )  # fmt: skip
    if facts.status_changes and facts.status_trigger["is_needed"]:
        lines.add(
            "SELECT migration_status_keep_rows()", SHARE_ROW, "generated_domains", seconds=speed.ddl_seconds,
            ledger="trigger zzz_migration_keep_domain", note="other columns stay as they are, updated stamps above all",
        )  # fmt: skip
    if facts.status_changes:
        lines.add(
            "SELECT migration_status_apply($1)", ROW, "generated_domains", blocks="writers of the same rows",
            seconds=facts.status_changes * speed.written_row_seconds * 10,
            note=f"{facts.status_changes:,} domains in batches, each a transaction", ledger="domain statuses up to ",
        )  # fmt: skip
    if facts.status_trigger["is_there"] or (facts.status_changes and facts.status_trigger["is_needed"]):
        drop = "DROP TRIGGER zzz_migration_keep_domain ON generated_domains"
        lines.add(drop, EXCLUSIVE, "generated_domains", seconds=speed.ddl_seconds, ledger=drop)
    lines.add(STATUSES, note="our functions for it go", seconds=speed.ddl_seconds)


def plan_questions(lines: Lines) -> None:
    """What is asked while both models live: the same questions to both, and who still uses the legacy columns."""
    facts = lines.facts
    lines.step = "answers"
    seconds = CHECKED_SIDES * (facts.speed.benchmark_seconds or 0.0)
    lines.add(BENCHMARK, SHARE, TABLES, seconds=seconds, note="each pattern once on either model")


def plan_cut_over(lines: Lines) -> None:
    """The look at pg_stat_statements, which is written down."""
    facts = lines.facts
    lines.step = "cut-over"
    if facts.statements.available:
        lines.add("sql/queries/create_statement_looks.sql", seconds=facts.speed.ddl_seconds)


def summary(facts: Facts) -> str:
    """What the expectations stand on."""
    sizes, speed = facts.speed.sizes, facts.speed
    return (
        f"{sizes.campaigns_rows:,} campaigns and some {sizes.domains_rows:,} domains"
        f" ({sizes.domains_bytes / 2**20:,.0f} MiB), read at {speed.scan_rate / 2**20:,.0f} MiB/s"
    )
