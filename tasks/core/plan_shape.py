"""The shape of a query plan: what decides on its cost, without the conditions, and how two shapes differ."""

from __future__ import annotations

import difflib
import hashlib
import re

from tasks.core.benchmark_models import PlanChange

_LABEL = re.compile(r"^\s*(CTE \S+|SubPlan \S+|InitPlan \S+)")
_SCAN = re.compile(
    r"(?P<kind>Seq Scan|Index Only Scan|Index Scan|Bitmap Heap Scan)(?: Backward)?(?: using (?P<index>\S+))?"
    r" on (?P<relation>\S+)"
)
_ALIAS = re.compile(r"( on \S+) \S+$")


def shape(plan: str) -> list[str]:
    """The nodes of a plan as EXPLAIN prints it, each with its join type, index and relation, indented by depth.

    Aliases and conditions do not count: the same query written in another way has the same shape.
    """
    lines: list[str] = []
    depths: list[int] = []
    for number, line in enumerate(plan.splitlines()):
        text = line.strip()
        if not (number == 0 or text.startswith("->") or _LABEL.match(line)):
            continue
        indent = len(line) - len(line.lstrip())
        while depths and depths[-1] >= indent:
            depths.pop()
        node = _ALIAS.sub(r"\1", text.removeprefix("->").strip())
        lines.append("  " * len(depths) + node)
        depths.append(indent)
    return lines


def fingerprint(plan: str) -> str:
    """Twelve digits that are the same for plans of one shape."""
    return hashlib.sha256("\n".join(shape(plan)).encode()).hexdigest()[:12]


def diff(before: str, after: str) -> str:
    """Both shapes in one: "- " stands before a node that is only in the first, "+ " before one only in the second."""
    lines = difflib.ndiff(shape(before), shape(after))
    return "\n".join(line for line in lines if not line.startswith("?"))


def lost_indexes(before: str, after: str) -> list[str]:
    """Relations that were read by an index and are now read from one end to the other."""
    gained = _scans(after, sequential=True) - _scans(before, sequential=True)
    return sorted(gained & _scans(before, sequential=False) - _scans(after, sequential=False))


def plan_change(before: str | None, after: str | None, *, more_work: bool) -> PlanChange:
    """How grave a change of plan is: critical if an index scan became a sequential scan and more is read for it.

    A sequential scan that reads less, as of a table that has become small, is an ordinary change.
    """
    if before is None or after is None or fingerprint(before) == fingerprint(after):
        return "same"
    return "critical" if more_work and lost_indexes(before, after) else "changed"


def _scans(plan: str, *, sequential: bool) -> set[str]:
    found = (_SCAN.search(node) for node in shape(plan))
    return {one["relation"] for one in found if one and (one["kind"] == "Seq Scan") == sequential}
