"""The lines of a plan while it is being written, and the words that all of it uses."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.core.models import PlannedStatement
from tasks.core.plan.facts import Facts

NOBODY, WRITERS, EVERYBODY = "nobody", "writers", "everybody"
NO_LOCK, SHARE, ROW = "none", "ACCESS SHARE", "ROW EXCLUSIVE"
UPDATE, SHARE_ROW, EXCLUSIVE = "SHARE UPDATE EXCLUSIVE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"
WAITED_FOR = {EXCLUSIVE: EVERYBODY, SHARE_ROW: WRITERS}
TABLES = "campaigns, generated_domains"


@dataclass
class Lines:
    """The plan so far.

    Attributes:
        step: the step that the lines to come belong to, as a run shows it.
    """

    facts: Facts
    step: str = ""
    written: list[PlannedStatement] = field(default_factory=list)

    def add(
        self,
        statement: str,
        lock: str = NO_LOCK,
        relation: str = "",
        *,
        seconds: float = 0.0,
        size: float = 0,
        note: str = "",
        ledger: str = "",
        blocks: str = "",
    ) -> None:
        """Write one more line; who waits follows from the lock unless it is said."""
        self.written.append(
            PlannedStatement(
                position=len(self.written) + 1,
                step=self.step,
                statement=statement,
                lock=lock,
                relation=relation,
                blocks=blocks or WAITED_FOR.get(lock, NOBODY),
                expected_seconds=round(seconds, 3),
                expected_bytes=int(size),
                note=note,
                ledger=ledger,
            )
        )
