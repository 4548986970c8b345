"""What reads the legacy columns and can go on reading them: moved to a compatibility view while both models live."""

from __future__ import annotations

from tasks.core.dependents.find import find_dependents
from tasks.core.dependents.materialized import Swap, compose_swap, in_groups
from tasks.core.dependents.model import Dependent
from tasks.core.dependents.move import described, move_dependents
from tasks.core.dependents.restore import restore_dependents

__all__ = [
    "Dependent",
    "Swap",
    "compose_swap",
    "described",
    "find_dependents",
    "in_groups",
    "move_dependents",
    "restore_dependents",
]
