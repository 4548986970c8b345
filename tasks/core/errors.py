"""Everything that can stop a run, as types: each says what is wrong and what to do next.

The class docstring is the message; its fields are filled in. The driver's error, where there is one, is the cause.
Exit codes are part of the contract with scripts and are listed in the README.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MigrationToolError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 70

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        for name, value in fields.items():
            setattr(self, name, value)
        template = " ".join((type(self).__doc__ or "").split())
        super().__init__(template.format(**fields))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.fields))


def _rebuild(kind: type[MigrationToolError], fields: dict[str, Any]) -> MigrationToolError:
    return kind(**fields)


class BadInput(MigrationToolError):
    """{name} is {value!r}: {reason}. {remedy}"""

    exit_code = 2


class PasswordInUrl(MigrationToolError):
    """--database-url holds a password, which process lists show to everybody on this machine. Leave it out of the
    URL and give it in CAMPAIGN_DATABASE_URL, PGPASSWORD or a passfile (PGPASSFILE).
    """

    exit_code = 2


class ServerUnreachable(MigrationToolError):
    """No PostgreSQL server answers at {host}:{port} ({reason}). Check the address, the port and the firewall."""

    exit_code = 3


class ServerBusy(ServerUnreachable):
    """{host}:{port} takes no connection at the moment ({reason}). Wait until it has started, or until other sessions have
    ended, and try again.
    """


class TlsRefused(ServerUnreachable):
    """No TLS connection to {host}:{port} with sslmode {tls_mode!r} ({reason}). Check the port, sslmode, and the certificates
    that sslrootcert names.
    """


class LoginRefused(MigrationToolError):
    """{host}:{port} refused user {user!r} for database {database!r} ({reason}). Check the user, the password
    (CAMPAIGN_DATABASE_URL, PGPASSWORD or PGPASSFILE) and the server's pg_hba.conf.
    """

    exit_code = 3


class DatabaseMissing(MigrationToolError):
    """There is no database {database!r} on {host}:{port}. Check the name; `psql -l` lists those that exist."""

    exit_code = 3


class Refused(MigrationToolError):
    """The gate 'preflight' found {count} blocker(s), nothing was changed. The artifact preflight has every finding.{summary}"""

    exit_code = 4


class GateFailed(MigrationToolError):
    """The gate {gate!r} failed: {reason}. The database is {state}. {remedy}"""

    exit_code = 5


class AnotherRunIsActive(MigrationToolError):
    """Another run works on database {database!r}, schema {schema!r}: {holder}. Wait for it, or end it first."""

    exit_code = 6


class RunAwaitsApproval(AnotherRunIsActive):
    """Run {run} of {flow} on database {database!r}, schema {schema!r}, awaits approval until {deadline}. Approve or reject it on
    its page in the Prefect UI ({page}), go on with --mode apply --approve {database}, or give it up with --abandon. Nothing
    was changed.
    """


class AwaitingApproval(MigrationToolError):
    """Both models of database {database!r} are live, and the legacy columns stay until somebody approves: --mode apply
    --approve {database} goes on, until {deadline}. --mode apply --abandon gives this run up and begins anew; flows.rollback
    --abandon goes back.
    """

    exit_code = 10


class ApprovalRejected(MigrationToolError):
    """{who} rejected the cut-over: {reason}. The database is {state}. Run flows.migrate again to ask anew; flows.rollback
    goes back.
    """

    exit_code = 4


class TargetMissed(MigrationToolError):
    """The improvement is {improvement:.1f}% where {target:.1f}% were required ({verdict})."""

    exit_code = 7


class LockNotGranted(MigrationToolError):
    """{statement} did not get its lock within {seconds:.0f} s ({attempts} attempts of {lock_timeout_ms} ms each).
    In its way: {blockers}. Nothing of it was applied; end that session or run again at a quieter time.
    """

    exit_code = 5


class StepFailed(MigrationToolError):
    """{step} failed ({sqlstate}): {reason}. {remedy}"""

    exit_code = 5


class ServerStartFailed(MigrationToolError):
    """The PostgreSQL server in {directory} did not start: {reason}"""

    exit_code = 8


class ClientBinaryMissing(MigrationToolError):
    """{name} for PostgreSQL {server_major} was not found on PATH nor in the embedded wheel. Install the PostgreSQL
    client package of version {server_major} or later.
    """

    exit_code = 4


class ClientBinaryTooOld(MigrationToolError):
    """{path} is version {version}, the server is {server_major}: {name} must not be older than the server. Install
    the PostgreSQL client package of version {server_major} or later, or put it first on PATH.
    """

    exit_code = 4


class BackupFailed(MigrationToolError):
    """The backup to {directory} failed: {reason}. Nothing in the database was changed. {remedy}"""

    exit_code = 5


class BackupDamaged(MigrationToolError):
    """The backup in {directory} is not as it was made: {file}: {reason}. Do not rely on it."""

    exit_code = 5


class DirectoryUnusable(MigrationToolError):
    """{directory} ({purpose}) cannot be used: {reason}. Name another one with {option}."""

    exit_code = 4


class NothingToRollBack(MigrationToolError):
    """Database {database!r}, schema {schema!r} is in state {state!r}: there is no migration to take back."""

    exit_code = 0


class TakenBack(MigrationToolError):
    """{reason} Everything was taken back, as on_failed_gate=rollback asks: the database is {state}."""

    exit_code = 5


class TakingBackFailed(MigrationToolError):
    """{reason} Taking everything back failed, too: {second} The database is {state}. Run flows.rollback when that is mended."""

    exit_code = 5


class NotComparable(MigrationToolError):
    """The benchmark before and the benchmark after cannot be compared: {differences}. Measure both again on one server
    with the same settings and the same inputs.
    """

    exit_code = 5


class PrefectUnreachable(MigrationToolError):
    """The Prefect server at {url} does not answer ({reason}). Start it, or unset PREFECT_API_URL to run without one.
    Nothing was changed.
    """

    exit_code = 3


class PrefectNotStarted(PrefectUnreachable):
    """The temporary Prefect server did not start: {reason}. Give it more time with
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or name another server with PREFECT_API_URL. Nothing was changed.
    """


class NotMigrated(MigrationToolError):
    """Schema {schema!r} of database {database!r} has no {name}: the migration has not run there, or not to its end. Run
    flows.migrate first.
    """

    exit_code = 4


class PausedTooLong(MigrationToolError):
    """The transform has paused for {seconds:.0f} s and gives up: {reason}. What is filled stays filled; mend the cause,
    or raise --pace.pause-limit-seconds, and run again: it goes on from there.
    """

    exit_code = 5


class LegacyStatementsSeen(MigrationToolError):
    """{count} statement(s) that name legacy columns were run in the last {hours:g} h, by pg_stat_statements: {examples}.
    They will fail once the columns are gone. Move the application over (both models are live and in step), or say
    --accept-legacy-statements.
    """

    exit_code = 5


class ConnectionLost(ServerUnreachable):
    """{step} lost its connection to the server ({reason}). What was committed stays, the rest was rolled back. Run again
    when the server answers: it goes on from there.
    """


class VersionUnclear(MigrationToolError):
    """golang-migrate's table {schema}.schema_migrations says {version}{dirty}, and {reason}. {remedy} Nothing of this step
    was applied.
    """

    exit_code = 5


class TransactionPooling(Refused):
    """{host}:{port} hands each transaction to another session of the server ({proof}): a pooler in transaction mode. Locks,
    settings and CREATE INDEX CONCURRENTLY need one session each. Name the server itself, or a pool in session mode. Nothing
    was changed.
    """


class CloneFailed(MigrationToolError):
    """A copy of database {database!r} for the benchmark could not be made: {reason}. The database itself was not touched."""

    exit_code = 5


class RegressionFound(MigrationToolError):
    """Slower than before, {count} of the patterns: {regressions}. The figures are kept, the trend is in the report."""

    exit_code = 9
