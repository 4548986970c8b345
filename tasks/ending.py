"""How a run ends: whatever happens, it leaves a report, and its final state says in a sentence what became of it."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from prefect import State
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Completed, Failed

from tasks import publish, recorder
from tasks.approval import suspend_where_prefect_can_resume
from tasks.blocks import PostgresDatabase
from tasks.core import errors
from tasks.core import report as reports
from tasks.core.models import Outcome
from tasks.core.settings import Parameters
from tasks.recorder import Recorder
from tasks.report import write_report

P = TypeVar("P", bound=Parameters)

# What stops a run before it has changed anything.
REFUSALS = (
    errors.Refused,
    errors.BadInput,
    errors.PasswordInUrl,
    errors.DirectoryUnusable,
    errors.ClientBinaryMissing,
    errors.ClientBinaryTooOld,
    errors.AnotherRunIsActive,
    errors.NotMigrated,
    errors.ApprovalRejected,
)

log = logging.getLogger("tasks.run")


@dataclass(frozen=True)
class Ending:
    """What became of a run: for the report, for the run's state and, if there is an error, for the exit code."""

    outcome: Outcome
    message: str
    error: errors.MigrationToolError | None = None

    @property
    def well(self) -> bool:
        """Whether the run did what it was asked to."""
        return self.error is None or self.error.exit_code == 0

    def as_state(self) -> State[Any]:
        """The final state of the flow run."""
        if self.outcome is Outcome.AWAITING_APPROVAL:
            return Completed(name="Awaiting approval", message=self.message, data=self.error)
        if isinstance(self.error, errors.ApprovalRejected):
            return Cancelled(name="Rejected", message=self.message, data=self.error)
        if isinstance(self.error, errors.AnotherRunIsActive | errors.NotMigrated) and _was_scheduled():
            # Nobody has asked for this run, and the next one comes by itself: no reason to wake anybody.
            return Completed(name="Skipped", message=f"Skipped. {self.message}", data=str(self.outcome))
        if self.well:
            return Completed(message=self.message, data=str(self.outcome))
        return Failed(message=self.message, data=self.error)

    def unreported(self, error: errors.MigrationToolError) -> Ending:
        """The same ending where the report could not be written: what went wrong first stays first."""
        return Ending(self.outcome, f"{self.message} The report could not be written: {error}", self.error or error)


Story: TypeAlias = Callable[[PostgresDatabase, P], Coroutine[Any, Any, Ending]]
Conducted: TypeAlias = Callable[[PostgresDatabase, P], Coroutine[Any, Any, State[Any]]]


def reported(*, steps_in_all: int) -> Callable[[Story[P]], Conducted[P]]:
    """Make a flow of a story: record its steps, write its report, and turn its ending into a state.

    Errors of ours become a failed state with their message; a cancel and a crash leave a report and go on their way.

    Args:
        steps_in_all: how many steps a complete run has, for the progress page.
    """

    def decorate(story: Story[P]) -> Conducted[P]:
        @functools.wraps(story)
        async def conducted(database: PostgresDatabase, parameters: P) -> State[Any]:
            logging.getLogger("tasks").setLevel(logging.INFO)  # else Prefect's extra loggers pass warnings alone
            run = Recorder(_flow_name(story), database.to_database(), parameters)
            with recorder.recording(run):
                try:
                    reports.check_report_directory(run.directory)
                except errors.DirectoryUnusable as error:
                    return ending_of(error, run).as_state()
                ending = await _told(story, run, database, parameters, steps_in_all)
                try:
                    report, files = await write_report(ending.outcome, ending.message)
                except errors.MigrationToolError as error:
                    ending = ending.unreported(error)
                else:
                    run.tell_end(report, files, well=ending.well)
                if ending.outcome is Outcome.AWAITING_APPROVAL:
                    await suspend_where_prefect_can_resume(run)
            return ending.as_state()

        # Prefect makes the form and checks the parameters from these; it would look the names up in this module.
        signature = inspect.signature(story, eval_str=True).replace(return_annotation=State)
        conducted.__signature__ = signature  # type: ignore[attr-defined]  # Prefect reads the parameters from it
        conducted.__annotations__ = {name: given.annotation for name, given in signature.parameters.items()}
        return conducted

    return decorate


async def _told(story: Story[P], run: Recorder, database: PostgresDatabase, parameters: P, steps_in_all: int) -> Ending:
    try:
        async with publish.progress_of(run, steps_in_all):
            ending = await story(database, parameters)
            run.complete = ending.outcome is not Outcome.AWAITING_APPROVAL
            return ending
    except errors.MigrationToolError as error:
        return ending_of(error, run)
    except Exception as error:
        leave_report(run, Outcome.FAILED, f"The run crashed: {type(error).__name__}: {error}")
        raise
    except BaseException:
        leave_report(run, Outcome.CANCELLED, "The run was cancelled. Run again to go on; flows.rollback goes back.")
        raise


def ending_of(error: errors.MigrationToolError, run: Recorder) -> Ending:
    """What an error of ours makes of a run."""
    outcome = Outcome.REFUSED if isinstance(error, REFUSALS) else Outcome.FAILED
    if isinstance(error, errors.TakenBack | errors.NothingToRollBack):
        outcome = Outcome.ROLLED_BACK
    message = str(error)
    if error.exit_code != 0 and (whom := _whom_to_call(run)):
        message = f"{message} {whom}"
    return Ending(outcome, message, error)


def leave_report(run: Recorder, outcome: Outcome, message: str) -> None:
    """Write the report at once, without the event loop, when a run is being ended from outside."""
    report = run.report(outcome, message)
    try:
        files = reports.write_reports(report, run.directory)
    except (OSError, errors.MigrationToolError) as second:
        log.error("The report could not be written to %s: %s", run.directory, second)  # noqa: TRY400 - the first error counts
        return
    run.tell_end(report, files, well=False)


def _flow_name(story: Callable[..., Any]) -> str:
    context = FlowRunContext.get()
    return context.flow.name if context is not None and context.flow is not None else story.__name__


def _was_scheduled() -> bool:
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and bool(context.flow_run.auto_scheduled)


def _whom_to_call(run: Recorder) -> str:
    contacts = getattr(run.parameters, "contacts", None)
    named = [f"{team}: {whom}" for team, whom in contacts.model_dump().items() if whom] if contacts is not None else []
    return f"Contacts: {', '.join(named)}." if named else ""
