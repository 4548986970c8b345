"""Functions that name legacy columns, found by parsing their bodies: PostgreSQL keeps no record of what a body reads."""

from __future__ import annotations

from tasks.core.function_bodies.examine import Body, Use, examine
from tasks.core.function_bodies.find import LegacyFunction, find_legacy_functions
from tasks.core.function_bodies.plpgsql import Argument, Header
from tasks.core.function_bodies.scopes import Surroundings

__all__ = ["Argument", "Body", "Header", "LegacyFunction", "Surroundings", "Use", "examine", "find_legacy_functions"]
