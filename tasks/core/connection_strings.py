"""Which database a command means: a URL, or what the environment says, read as libpq reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import ValidationError

from tasks.core import errors
from tasks.core.database import Database

EXAMPLE = "postgresql://user@host:5432/database"
# What libpq calls the fields that a URL or the PG* variables may get wrong.
LIBPQ_NAMES = {"tls_mode": "sslmode", "tls_root_certificate": "sslrootcert"}


def database_from_url(url: str, *, source: str) -> Database:
    """Read `postgresql://user:password@host:port/database?sslmode=require`.

    :param source: where the URL came from, for the message.
    :raises BadInput: if it is not such a URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError as error:
        where = url.rpartition("@")[2]  # what stands before it may hold a password
        raise errors.BadInput(name=source, value=where, reason=str(error), remedy=f"Write it as {EXAMPLE}") from error
    if parts.scheme not in {"postgresql", "postgres"}:
        raise errors.BadInput(
            name=source,
            value=f"{parts.scheme}://...",
            reason="its scheme is not postgresql",
            remedy=f"Write it as {EXAMPLE}",
        )
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = sorted(set(query) - {"sslmode", "sslrootcert", "host", "passfile"})
    if unknown:
        raise errors.BadInput(
            name=source,
            value=unknown[0],
            reason="this option of the URL is not known",
            remedy="Known: sslmode, sslrootcert, host, passfile",
        )
    database, user = unquote(parts.path.lstrip("/")), unquote(parts.username or os.environ.get("PGUSER", ""))
    for name, value in (("database", database), ("user", user)):
        if not value:
            raise errors.BadInput(name=source, value=name, reason="the URL lacks it", remedy=f"Write it as {EXAMPLE}")
    values: dict[str, Any] = {
        "host": query.get("host") or parts.hostname or "localhost",
        "port": port,
        "database": database,
        "user": user,
        "password": unquote(parts.password) if parts.password else None,
        "tls_mode": query.get("sslmode", "prefer"),
        "tls_root_certificate": query.get("sslrootcert"),
        "passfile": query.get("passfile"),
    }
    return _checked(values, source)


def database_from_surroundings(url: str | None, environment: Mapping[str, str] = os.environ) -> Database:
    """The database that a command means: `--database-url`, else CAMPAIGN_DATABASE_URL, else PGHOST and its kin.

    :raises PasswordInUrl: if `url`, which came from the command line, holds a password.
    :raises BadInput: if nothing names a database.
    """
    if url is not None:
        if _holds_password(url):
            raise errors.PasswordInUrl
        return database_from_url(url, source="--database-url")
    if environment.get("CAMPAIGN_DATABASE_URL"):
        return database_from_url(environment["CAMPAIGN_DATABASE_URL"], source="CAMPAIGN_DATABASE_URL")
    if environment.get("PGDATABASE") or environment.get("PGHOST"):
        user = environment.get("PGUSER") or environment.get("USER", "postgres")
        values: dict[str, Any] = {
            "host": environment.get("PGHOST", "localhost"),
            "port": environment.get("PGPORT", 5432),
            "database": environment.get("PGDATABASE", user),
            "user": user,
            "tls_mode": environment.get("PGSSLMODE", "prefer"),
            "tls_root_certificate": environment.get("PGSSLROOTCERT"),
            "passfile": environment.get("PGPASSFILE"),
        }
        return _checked(values, "the environment (PGHOST and its kin)")
    raise errors.BadInput(
        name="the database",
        value=None,
        reason="nothing names one",
        remedy="Give --database-url postgresql://user@host/database, or set CAMPAIGN_DATABASE_URL or PGHOST and PGDATABASE",
    )


def _holds_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ":" in url.partition("://")[2].rpartition("@")[0]
    return parts.password is not None or "password" in parse_qs(parts.query)


def _checked(values: Mapping[str, Any], source: str) -> Database:
    try:
        return Database.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise errors.BadInput(
            name=f"{LIBPQ_NAMES.get(field, field)} in {source}",
            value=first["input"],
            reason=first["msg"],
            remedy=f"Example: {EXAMPLE}?sslmode=require",
        ) from error
