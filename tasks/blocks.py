"""The Prefect block that says which database a run works on, and keeps its password."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from tasks.core.database import Database, TlsMode, connect
from tasks.core.state import read_state


class PostgresDatabase(Block):
    """One PostgreSQL database. A flow takes this block as its parameter, so that the password stays in the block."""

    _block_type_name = "PostgreSQL campaign database"
    _block_type_slug = "postgres-database"
    _description = "A campaign database on PostgreSQL 14 to 18: where it is and as whom to connect."

    # Required, as Prefect cannot create a run from a reference to a block of which no field is.
    host: str = Field(description="Name or address of the server.")
    port: int = Field(default=5432, ge=1, le=65535, description="TCP port of the server.")
    database: str = Field(description="Name of the campaign database.")
    user: str = Field(description="Role to connect as. It must own the campaign tables or be a member of their owner.")
    password: SecretStr | None = Field(
        default=None, description="Password of the role; without one the passfile is asked."
    )
    passfile: Path | None = Field(default=None, description="A libpq password file on the worker, instead.")
    tls_mode: TlsMode = Field(
        default="prefer", title="TLS mode", description="How far the connection must be encrypted and verified."
    )
    tls_root_certificate: Path | None = Field(
        default=None, title="TLS root certificate", description="Certificates on the worker to verify the server with."
    )

    def to_database(self) -> Database:
        """The same, for the core."""
        return Database(
            host=self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=self.password,
            passfile=self.passfile,
            tls_mode=self.tls_mode,
            tls_root_certificate=self.tls_root_certificate,
        )

    async def test(self) -> str:
        """Connect, and say what is there. Changes nothing.

        Raises:
            ServerUnreachable, LoginRefused, DatabaseMissing: with the remedy in the message.
        """
        target = self.to_database()
        async with connect(target, purpose="test of the block") as connection:
            state = await read_state(connection)
            version = connection.get_server_version()
        return f"{target.address} answers: PostgreSQL {version.major}.{version.minor}, a database in state {state}."

    @classmethod
    def without_password(cls, database: Database) -> Self:
        """An unsaved block for a run from a shell: its password stays in this process's environment."""
        return cls(
            host=database.host,
            port=database.port,
            database=database.database,
            user=database.user,
            passfile=database.passfile,
            tls_mode=database.tls_mode,
            tls_root_certificate=database.tls_root_certificate,
        )
