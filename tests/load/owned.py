"""The rows that a writer wrote and nobody else touches, drawn from at random."""

from __future__ import annotations

from random import Random
from uuid import UUID

from tests.load.models import OwnRow


class OwnRows:
    """Committed rows by name, with a draw that does not grow with their number."""

    def __init__(self) -> None:
        self._rows: list[OwnRow] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def apply(self, changes: dict[str, OwnRow | None]) -> None:
        """Take over what a transaction committed; None stands for a deleted row."""
        for name, row in changes.items():
            place = self._places.get(name)
            if row is None:
                if place is not None:
                    self._remove(name, place)
            elif place is None:
                self._places[name] = len(self._rows)
                self._rows.append(row)
            else:
                self._rows[place] = row

    def _remove(self, name: str, place: int) -> None:
        last = self._rows.pop()
        del self._places[name]
        if last.name != name:
            self._rows[place] = last
            self._places[last.name] = place

    def draw(self, random: Random, most: int, besides: dict[str, OwnRow | None]) -> list[OwnRow]:
        """Up to `most` different rows, none of which the open transaction has touched."""
        if not self._rows:
            return []
        drawn = {random.randrange(len(self._rows)) for _ in range(most)}
        return [self._rows[place] for place in sorted(drawn) if self._rows[place].name not in besides]

    def of_campaign(self, campaign: UUID) -> list[OwnRow]:
        """All rows of a campaign."""
        return [row for row in self._rows if row.campaign_id == campaign]

    def clear(self) -> None:
        """Forget everything, as TRUNCATE does."""
        self._rows.clear()
        self._places.clear()

    def all(self) -> list[OwnRow]:
        """Every row."""
        return list(self._rows)
