"""A dependent of the legacy columns, and what becomes of it."""

from __future__ import annotations

from typing import Literal

from tasks.core.models import Model

Kind = Literal["view", "materialized view", "policy", "trigger", "function"]


class Dependent(Model):
    """One object that reads legacy columns, as it is and as it will be.

    Attributes:
        identity: its name as SQL writes it, schema included.
        definition: the statement that makes it as it is now.
        reads: which compatibility view it will read; none for what goes over to the phases themselves.
        owner: the oid of the role with whose rights it reads, for views.
        rebuilt: the statement that makes it read the compatibility view or the phases, where that can be.
        problem: why it cannot be kept, where it cannot.
        group: for materialized views, the first of those that are built anew and swapped together, as they read one another.
    """

    kind: Kind
    identity: str
    oid: int
    definition: str
    reads: str | None = None
    owner: int | None = None
    rebuilt: str | None = None
    problem: str | None = None
    group: str = ""
