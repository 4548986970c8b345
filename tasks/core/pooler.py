"""Is there a pooler in between that shares sessions? One in session mode is as good as none, another cannot be worked through."""

from __future__ import annotations

import asyncpg

from tasks.core import errors
from tasks.core.database import Connection, Database, connect
from tasks.core.translation import unbroken

SESSION = "SELECT pg_backend_pid()"
# What a session says that does not know what was prepared in another.
FOREIGN_STATEMENTS = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


async def refuse_transaction_pooling(database: Database) -> None:
    """Open two connections at once and look whether each keeps a session of the server to itself.

    Raises:
        TransactionPooling: if a connection changes sessions, or two connections share one.
        ConnectionLost: if a session ended meanwhile.
    """
    with unbroken("session check"):
        try:
            async with (
                connect(database, purpose="session check") as first,
                connect(database, purpose="session check") as second,
            ):
                proof = await _find_sharing(first, second)
        except FOREIGN_STATEMENTS as error:
            proof = str(error).splitlines()[0]
        except asyncpg.ConnectionDoesNotExistError as error:
            # In statement mode a pooler does not even let a transaction begin.
            if "pooling" not in str(error):
                raise
            proof = str(error)
    if proof is not None:
        raise errors.TransactionPooling(host=database.host, port=database.port, proof=proof)


async def _find_sharing(first: Connection, second: Connection) -> str | None:
    """While the second is in a transaction, the first cannot have the session that the second holds."""
    before = await first.fetchval(SESSION)
    async with second.transaction():
        held = await second.fetchval(SESSION)
        after = await first.fetchval(SESSION)
    if before != after:
        return f"one connection was in session {before}, then in session {after}"
    if held == after:
        return f"two connections were in session {held}"
    return None
