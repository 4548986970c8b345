"""The charts of a run: its steps over time with the locks that it held, and the longest of those."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.models import LockHold, StepRecord
from tasks.core.report_drawing import (
    AFTER,
    BAD,
    BEFORE,
    GAP,
    GRID,
    INK,
    Chart,
    canvas,
    finish,
    name_rows,
    shortened,
)

STEP_COLOURS = {"completed": AFTER, "failed": BAD, "skipped": GRID, "running": BEFORE}
MOST_LOCKS = 12


def steps_chart(steps: Sequence[StepRecord], locks: Sequence[LockHold]) -> Chart | None:
    """The steps over time (seconds since the first began), and below them a mark for each lock that keeps others waiting."""
    ran = [step for step in steps if step.seconds > 0 and step.began_at is not None]
    if not ran:
        return None
    start = min(step.began_at or 0.0 for step in ran)
    held = [lock for lock in locks if lock.ended_at is not None and "EXCLUSIVE" in lock.mode.upper()]
    text = "; ".join(f"{step.name} {step.seconds:.1f} s, {step.state}" for step in ran)
    rows = [step.name for step in ran]
    figure, axes = canvas(len(rows) + bool(held))
    whole = max((step.began_at or 0.0) - start + step.seconds for step in ran)
    for row, step in enumerate(ran):
        began = (step.began_at or 0.0) - start
        axes.barh(row, max(step.seconds, whole / 400), left=began, height=0.5, color=STEP_COLOURS[step.state])
        late = began + step.seconds > 0.8 * whole
        axes.text(
            began if late else began + step.seconds, row, f"{GAP}{step.seconds:.1f} s{GAP}", va="center",
            ha="right" if late else "left", fontsize=8.5, color=INK,
        )  # fmt: skip
    if held:
        longest = sorted(held, key=lambda lock: lock.held_ms, reverse=True)
        text += "; locks: " + "; ".join(
            f"{lock.statement} {lock.held_ms:.1f} ms after {(lock.ended_at or 0.0) - start:.1f} s" for lock in longest
        )
        for lock in held:
            moment = (lock.ended_at or 0.0) - start
            axes.plot([moment, moment], [len(rows) - 0.25, len(rows) + 0.25], color=BAD, linewidth=1.5)
        rows.append("locks")
        moment = (longest[0].ended_at or 0.0) - start
        late = moment > 0.5 * whole
        axes.text(
            moment, len(rows) - 1, f"{GAP}{GAP}longest {longest[0].held_ms:.0f} ms{GAP}{GAP}", va="center",
            ha="right" if late else "left", fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_xlim(0, whole)
    name_rows(axes, rows)
    axes.set_xlabel("seconds; red: an exclusive lock was held")
    return finish(figure, "steps", "The steps, and when locks were held", text)


def locks_chart(locks: Sequence[LockHold]) -> Chart | None:
    """How long each statement kept others waiting, longest first, in ms; at most a dozen."""
    held = sorted((lock for lock in locks if lock.held_ms > 0), key=lambda lock: lock.held_ms, reverse=True)
    held = held[:MOST_LOCKS]
    if not held:
        return None
    text = "; ".join(f"{lock.statement} held {lock.mode} for {lock.held_ms:.1f} ms" for lock in held)
    figure, axes = canvas(len(held))
    for row, lock in enumerate(held):
        axes.barh(row, lock.held_ms, height=0.4, color=BEFORE if "EXCLUSIVE" in lock.mode.upper() else AFTER)
        axes.text(0, row - 0.24, f"{lock.held_ms:.1f} ms, {lock.mode}", fontsize=7.5, va="bottom", color=INK)
    name_rows(axes, [shortened(lock.statement) for lock in held])
    axes.set_ylim(len(held) - 0.4, -0.8)
    axes.set_xlabel("ms that the lock was held")
    return finish(figure, "locks", "Locks", text)
