"""How to reach a database, and connections to it that say who they are."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import asyncpg
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tasks.core import errors, sql_files
from tasks.core.translation import unbroken

APPLICATION_NAME = "campaign-phases-migration"
CONNECT_TIMEOUT_SECONDS = 15.0
# What a role or a database may have set, and what would end a long run, or change what the server writes or understands.
PLAIN_SETTINGS = {
    "client_connection_check_interval": "5s",
    "transaction_timeout": "0",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "row_security": "on",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "plpgsql.extra_errors": "none",
}
# Notices of IF NOT EXISTS (a table, a column, a schema): to somebody who follows a run they say nothing.
SKIPPED = {"42P07", "42701", "42P06"}

Connection: TypeAlias = "asyncpg.Connection[Any]"
ENCRYPTED_MODES = frozenset({"require", "verify-ca", "verify-full"})
TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

server_log = logging.getLogger("tasks.core.server")


class Database(BaseModel):
    """One PostgreSQL database. Without a password, PGPASSWORD and the passfile are asked, as libpq does."""

    model_config = ConfigDict(frozen=True)

    host: str = Field(description="Name or address of the server.")
    port: int = Field(default=5432, ge=1, le=65535, description="TCP port of the server.")
    database: str = Field(description="Name of the campaign database.")
    user: str = Field(description="Role to connect as. It must own the campaign tables or be a member of their owner.")
    password: SecretStr | None = Field(default=None, description="Password of the role.")
    passfile: Path | None = Field(default=None, description="A libpq password file, instead of a password.")
    tls_mode: TlsMode = Field(default="prefer", description="How far the connection must be encrypted and verified.")
    tls_root_certificate: Path | None = Field(
        default=None, description="Certificates that the server is verified with."
    )

    @property
    def address(self) -> str:
        """The address for people: never a password."""
        return f"{self.user}@{self.host}:{self.port}/{self.database}"

    def client_environment(self) -> dict[str, str]:
        """The environment for pg_dump, psql and their kin: no password on a command line.

        :returns: a copy of this process's environment with the PG* variables of this database.
        """
        environment = {name: value for name, value in os.environ.items() if name != "CAMPAIGN_DATABASE_URL"}
        environment |= {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": self.database,
            "PGUSER": self.user,
            "PGSSLMODE": self.tls_mode,
            "PGAPPNAME": APPLICATION_NAME,
        }
        if self.tls_root_certificate is not None:
            environment["PGSSLROOTCERT"] = str(self.tls_root_certificate)
        if self.passfile is not None:
            environment["PGPASSFILE"] = str(self.passfile)
        if self.password is not None:
            environment["PGPASSWORD"] = self.password.get_secret_value()
        return environment


@asynccontextmanager
async def connect(
    database: Database, *, schema: str | None = None, purpose: str = "", settings: Mapping[str, str] | None = None
) -> AsyncIterator[Connection]:
    """An open connection, closed at the end. Server notices go to the log `tasks.core.server`.

    :param schema: put first on the search path, before what the role has.
    :param purpose: shown in pg_stat_activity behind our name.
    :param settings: server settings for this session, such as statement_timeout.
    :raises ServerUnreachable, LoginRefused, DatabaseMissing, BadInput: with the remedy in the message.
    :raises ConnectionLost: it was there for a moment.
    """
    connection = await _open(database, purpose)
    connection.add_log_listener(_log_notice)
    try:
        wanted = {**PLAIN_SETTINGS, **(settings or {})}
        with unbroken("connecting"):
            await connection.execute(sql_files.query("set_session"), list(wanted), list(wanted.values()))
            if schema is not None:
                await connection.fetchval(
                    "SELECT set_config('search_path', concat_ws(', ', quote_ident($1),"
                    " nullif(current_setting('search_path'), '')), false)",
                    schema,
                )
        yield connection
    finally:
        connection.remove_log_listener(_log_notice)
        await connection.close(timeout=10)


async def _open(database: Database, purpose: str) -> Connection:
    reach: dict[str, Any] = {"host": database.host, "port": database.port}
    try:
        return await asyncpg.connect(
            host=database.host,
            port=database.port,
            database=database.database,
            user=database.user,
            password=database.password.get_secret_value() if database.password else None,
            passfile=str(database.passfile) if database.passfile else None,
            ssl=_tls(database),
            timeout=CONNECT_TIMEOUT_SECONDS,
            # A pooler in between passes this one on and refuses others: they are set once the session is there.
            server_settings={"application_name": f"{APPLICATION_NAME} {purpose}".strip()[:63]},
        )
    except asyncpg.InvalidCatalogNameError as error:
        raise errors.DatabaseMissing(**reach, database=database.database) from error
    except (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
        raise errors.ServerBusy(**reach, reason=str(error)) from error
    except asyncpg.ClientConfigurationError as error:  # the root certificate that verifying needs
        raise errors.BadInput(
            name="sslmode",
            value=database.tls_mode,
            reason=error.args[0],
            remedy="Name the certificates with sslrootcert",
        ) from error
    except (asyncpg.ConnectionDoesNotExistError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError) as error:
        raise errors.ServerUnreachable(**reach, reason=str(error)) from error  # it went away while it was answering
    except asyncpg.PostgresError as error:  # password, pg_hba.conf, no right to connect, a database that takes nobody
        reason = ": ".join(filter(None, [error.args[0], error.detail])).rstrip(".")
        raise errors.LoginRefused(**reach, user=database.user, database=database.database, reason=reason) from error
    except (OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, ssl.SSLError) or (database.tls_mode in ENCRYPTED_MODES and "SSL upgrade" in reason):
            raise errors.TlsRefused(**reach, tls_mode=database.tls_mode, reason=reason) from error
        raise errors.ServerUnreachable(**reach, reason=reason) from error


def _tls(database: Database) -> ssl.SSLContext | TlsMode:
    if database.tls_root_certificate is None or database.tls_mode not in {"verify-ca", "verify-full"}:
        return database.tls_mode
    try:
        context = ssl.create_default_context(cafile=str(database.tls_root_certificate))
    except OSError as error:
        raise errors.BadInput(
            name="sslrootcert",
            value=str(database.tls_root_certificate),
            reason=error.strerror or str(error),
            remedy="Name a file of certificates in PEM format",
        ) from error
    context.check_hostname = database.tls_mode == "verify-full"
    return context


def _log_notice(_connection: Any, message: Any) -> None:
    if getattr(message, "sqlstate", "") in SKIPPED or getattr(message, "severity_en", "") == "DEBUG":
        level = logging.DEBUG
    else:
        level = logging.WARNING if getattr(message, "severity_en", "") == "WARNING" else logging.INFO
    server_log.log(level, "%s", getattr(message, "message", str(message)))
