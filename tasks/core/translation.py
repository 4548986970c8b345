"""Driver errors become ours, once, with what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tasks.core import errors

# A server that stopped or crashed, a network that broke, an administrator's pg_terminate_backend.
CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    ConnectionError,
)
# The same, at the next statement of a session that ended while it was idle. The second is a bug of the driver's own: it has
# read the server's farewell and is not ready for a statement.
FOUND_CLOSED = (asyncpg.InterfaceError, asyncpg.InternalClientError)


# Where our own SQL raises: a block of a script, or one of our functions.
OURS = re.compile(r"function (inline_code_block|(\S+\.)?(migration|campaign_metrics|maintain_phases)_\w+)")


def _raised_by(error: asyncpg.PostgresError) -> str | None:
    """Whose words an error without a code of its own is, if not ours: a trigger's, as a rule, of the application's."""
    context = getattr(error, "context", None)
    if not isinstance(error, asyncpg.RaiseError) or not context or OURS.search(context.splitlines()[0]):
        return None
    return (
        f"It was raised by {context.splitlines()[0]}: let it pass this migration, or switch its trigger off meanwhile"
    )


@contextmanager
def unbroken(step: str) -> Iterator[None]:
    """Translate what the driver raises in the body if the session is gone, and nothing else.

    Args:
        step: named in the message.

    Raises:
        ConnectionLost: a retry can help.
    """
    try:
        yield
    except CONNECTION_LOST as error:
        raise errors.ConnectionLost(step=step, reason=str(error) or type(error).__name__) from error
    except FOUND_CLOSED as error:
        if "connection is closed" not in str(error) and "another operation (2) is in progress" not in str(error):
            raise
        raise errors.ConnectionLost(step=step, reason=str(error)) from error


@contextmanager
def translated(step: str, remedy: str) -> Iterator[None]:
    """Translate what the driver raises in the body.

    Args:
        step: named in the message.
        remedy: what to do about an error of the server's.

    Raises:
        ConnectionLost: the session is gone; a retry can help.
        StepFailed: with the server's words and its hint.
    """
    try:
        with unbroken(step):
            yield
    except asyncpg.PostgresError as error:
        # The driver's own text of an error has its detail and hint on lines of their own.
        said = (str(error.args[0]), getattr(error, "detail", None), getattr(error, "hint", None), _raised_by(error))
        raise errors.StepFailed(
            step=step,
            sqlstate=error.sqlstate,
            reason=". ".join(part.rstrip(".") for part in said if part),
            remedy=remedy,
        ) from error
