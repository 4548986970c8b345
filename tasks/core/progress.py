"""How long work says how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# what is being counted, how much of it is done, how much there is (None: not known)
Progress: TypeAlias = Callable[[str, int, int | None], None]


def unheard(what: str, done: int, total: int | None) -> None:
    """A listener for those who do not want to know."""
