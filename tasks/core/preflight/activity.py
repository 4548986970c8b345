"""What else goes on around the tables: triggers, old transactions, replicas, vacuums, publications, earlier runs."""

from __future__ import annotations

from tasks.core import catalog, run, sql_files
from tasks.core.models import State
from tasks.core.preflight.subject import Record, Subject, counted, listed

OLD_TRANSACTION_SECONDS = 60.0
LAG_SECONDS, LAG_BYTES = 30.0, 64 * 1024 * 1024
# pg_trigger.tgtype
ROW, BEFORE, INSERT, UPDATE = 1, 2, 4, 16
MEGABYTE = 1024 * 1024


async def check_triggers(subject: Subject) -> None:
    """Triggers of the application that our updates set off, and those that would have the last word over ours."""
    fired: list[str] = []
    for row in await subject.fetch("list_triggers", [subject.campaigns_oid]):
        if row["function_name"] in catalog.our_functions() or row["enabled"] not in "OA":
            continue
        if row["is_after_sync"] and row["bits"] & ROW and row["bits"] & BEFORE and row["bits"] & (INSERT | UPDATE):
            subject.block(
                "trigger-comes-last",
                f"trigger {row['name']} on campaigns fires after {catalog.SYNC_TRIGGER} and could undo its work",
                "Rename it (ALTER TRIGGER ... RENAME TO): triggers fire in the order of their names.",
                [row["name"]],
            )
        elif _is_set_off(row):
            fired.append(row["name"])
            _check_redundancy(subject, row)
        _check_arguments(subject, row)
    if fired:
        subject.warn(
            "application-triggers",
            f"our updates of campaigns will fire {counted(len(fired), 'trigger')}: {listed(fired)}",
            "They see each campaign once more; what they write into the row itself is put back. One that refuses an update, or"
            " returns NULL for it, stops the run.",
            fired,
        )


def _check_redundancy(subject: Subject, row: Record) -> None:
    if (row["function_schema"], row["function_name"]) == ("pg_catalog", "suppress_redundant_updates_trigger"):
        subject.block(
            "trigger-suppresses",
            f"trigger {row['name']} on campaigns suppresses updates that change nothing: rows that only our triggers fill, which"
            " come after it, would never be filled, neither on the way up nor on the way back",
            f"Meanwhile: ALTER TABLE campaigns DISABLE TRIGGER {row['name']}.",
            [row["name"]],
        )


def _check_arguments(subject: Subject, row: Record) -> None:
    """Functions in C, such as tsvector_update_trigger, are told the columns that they read by the trigger's arguments."""
    if row["language"] not in {"c", "internal"}:
        return
    named = sorted(set(row["arguments"]) & set(catalog.LEGACY_COLUMNS))
    if named and not set(row["columns"]) & set(catalog.LEGACY_COLUMNS):
        subject.block_contract(
            "trigger-names-legacy-column",
            f"trigger {row['name']} on campaigns hands {listed(named)} to {row['function_name']}: every write that fires it would"
            " fail once the legacy columns are gone",
            "Make the trigger without them, or drop it.",
            [row["name"]],
        )


async def check_rules(subject: Subject) -> None:
    """Rules of the core tables rewrite our statements as they rewrite the application's, now and whenever metrics are written."""
    for row in await subject.fetch("find_table_rules", subject.oids):
        subject.block(
            "rule",
            f"rule {row['name']} on {row['table_name']} rewrites every statement of its kind, this migration's and its"
            f" triggers' own, too: {row['definition']}",
            "Make a trigger of it; triggers are kept. A rule that is not for UPDATE of campaigns may also be switched off"
            f" meanwhile: ALTER TABLE {row['table_name']} DISABLE RULE {row['name']}.",
            [row["name"]],
        )


async def check_event_triggers(subject: Subject) -> None:
    """Event triggers of the database see every table, view and index that is made, changed or dropped, and may refuse it."""
    for row in await subject.fetch("find_event_triggers"):
        subject.warn(
            "event-trigger",
            f"event trigger {row['name']} calls {row['function']} at {row['event']}: it sees what this migration makes and drops",
            "Make sure that it does not refuse it, or disable it meanwhile (ALTER EVENT TRIGGER ... DISABLE).",
            [row["name"]],
        )


def _is_set_off(row: Record) -> bool:
    watched = set(row["columns"])
    written = {*catalog.PHASES_COLUMNS, *catalog.LEGACY_COLUMNS}
    return bool(row["bits"] & UPDATE) and (not watched or bool(watched & written))


async def check_invalid_indexes(subject: Subject) -> None:
    """Indexes that a build left behind."""
    ours = set()
    if await subject.connection.fetchval(sql_files.query("has_saved_objects")):
        ours = {row["oid"] for row in await subject.fetch("list_rebuild_leftovers")}
    for row in await subject.fetch("find_invalid_indexes", subject.oids):
        name = row["description"]
        subject.warn(
            "invalid-index",
            f"index {name} is invalid: it takes writes and serves no query",
            "Nothing: a rebuild of this migration was interrupted, and the run drops what it has left."
            if row["oid"] in ours
            else f"DROP INDEX CONCURRENTLY {name}, or REINDEX INDEX CONCURRENTLY.",
            [row["name"]],
        )


async def check_transactions(subject: Subject) -> None:
    """Old transactions, prepared ones, and vacuums that do not give way."""
    for row in await subject.fetch("find_old_transactions", OLD_TRANSACTION_SECONDS):
        subject.warn(
            "long-transaction",
            f"{row['description']} has had a transaction open for {row['seconds']:,.0f} s: {row['query']}",
            "Index builds wait for it to end, and our locks wait for its locks.",
            [row["description"]],
        )
    for row in await subject.fetch("find_prepared_transactions", subject.oids):
        note = subject.block if row["holds_locks"] else subject.warn
        locks = "holds locks on the campaign tables" if row["holds_locks"] else "is open; index builds wait for it"
        note(
            "prepared-transaction",
            f"prepared transaction {row['description']}, {locks}",
            "COMMIT PREPARED or ROLLBACK PREPARED.",
            [row["description"]],
        )
    for row in await subject.fetch("find_wraparound_vacuums", subject.oids):
        subject.block(
            "wraparound-vacuum",
            f"a vacuum against transaction id wraparound is at work on {row['table_name']} (pid {row['pid']})",
            "Wait until it is done: it does not give way to our locks.",
            [row["table_name"]],
        )


async def check_replication(subject: Subject) -> None:
    """Replicas and their lag, publications, and subscriptions into the tables."""
    if not subject.session["is_standby"]:
        replicas = await subject.fetch("list_replicas")
        if replicas:
            late = [r for r in replicas if (r["lag_bytes"] or 0) > LAG_BYTES or (r["lag_seconds"] or 0) > LAG_SECONDS]
            text = "; ".join(_describe_replica(row) for row in replicas)
            subject.warn(
                "replica-lag" if late else "replicas",
                f"{counted(len(replicas), 'replica')} will get all that we write: {text}",
                "Let them catch up first." if late else "Watch their lag while this runs.",
                [row["name"] for row in replicas],
            )
    for row in await subject.fetch("find_subscriptions", subject.oids):
        subject.block(
            "subscription",
            f"subscription {row['subscription']} writes into {row['table_name']}, unseen by the metrics' triggers",
            "Migrate the publishing side, or end the subscription first.",
            [row["subscription"]],
        )
    for row in await subject.fetch("find_publications", subject.oids):
        subject.warn(
            "publication",
            f"publication {row['publication']} carries {row['tables']}: subscribers need the phases columns, too",
            "Add them there before this runs; the legacy columns may go there afterwards.",
            [row["publication"]],
        )


def _describe_replica(row: Record) -> str:
    if row["lag_bytes"] is None:
        return f"{row['name']} (lag unknown)"
    seconds = f", {row['lag_seconds']:.1f} s" if row["lag_seconds"] is not None else ""
    return f"{row['name']} ({row['sync_state']}, {row['lag_bytes'] / MEGABYTE:.1f} MiB{seconds} behind)"


async def check_earlier_runs(subject: Subject) -> None:
    """What an earlier run left, and whether another one is at work."""
    holder = await subject.fetch_one("find_lock_holder", run.lock_key(subject.schema))
    if holder is not None:
        subject.warn(
            "another-run",
            f"another run is at work: session {holder['pid']} of {holder['usename']} ({holder['application_name']})",
            "Wait for it: apply refuses while it goes on.",
        )
    ledger = await subject.fetch("list_relations_named", subject.schema, ["migration_runs"])
    latest = None
    if any(row["comment"].startswith(catalog.MARK) for row in ledger) and await _may_read_runs(subject):
        latest = await subject.fetch_one("find_latest_run")
    ended = ""
    if latest is not None:
        # Who is still recorded as running and holds no lock did not live to say how it ended.
        outcome = "interrupted" if latest["outcome"] == "running" and holder is None else latest["outcome"]
        ended = (
            f" by run {latest['run_id']} ({latest['flow_name']}, {latest['started_at']:%Y-%m-%d %H:%M %Z}, {outcome})"
        )
    if subject.state is State.DUAL:
        subject.warn(
            "earlier-run",
            f"both models are live, left so{ended or ' by an earlier run'}",
            "This run will go on from there.",
        )
    elif subject.state is State.CONTRACTED:
        subject.warn(
            "earlier-run",
            f"the legacy columns are gone, 000036 is not complete; left so{ended or ' by an earlier run'}",
            "This run will go on from there.",
        )
        if not await subject.fetch("list_relations_named", subject.schema, ["migration_saved_objects"]):
            subject.block(
                "foreign-contract",
                "campaigns has phases columns and no legacy columns, but 000035 has left no record here",
                "The legacy columns were removed another way: there is nothing that this migration could go on from.",
            )
    for row in await subject.fetch("find_scratch_databases"):
        subject.warn(
            "scratch-database",
            f"database {row[0]} is left over from a restore check that was interrupted",
            f'DROP DATABASE "{row[0]}".',
            [row[0]],
        )


def refuse_returning(subject: Subject) -> None:
    """A way back that was begun is gone to its end: what it needs for that is nobody else's to touch."""
    subject.block(
        "way-back",
        "a way back has begun and not ended: the legacy columns are there again beside the phases",
        f"End it first: flows.rollback --mode apply --confirm {subject.session['database_name']}.",
    )


async def _may_read_runs(subject: Subject) -> bool:
    return bool(await subject.connection.fetchval("SELECT has_table_privilege('migration_runs', 'SELECT')"))
