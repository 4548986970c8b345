"""What apply would do to this database: every statement in order, its lock, who waits, what it costs, what people decide."""

from __future__ import annotations

from tasks.core.plan.make import make_plan
from tasks.core.plan.show import as_markdown, as_tables

__all__ = ["as_markdown", "as_tables", "make_plan"]
