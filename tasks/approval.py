"""Step 5: a person's word before the legacy columns go. The run ends meanwhile; its next process hears the answer."""

from __future__ import annotations

import getpass
import logging
import socket
from datetime import datetime
from typing import Any, Literal, NoReturn, Self
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput, aread_flow_run_input, keyset_from_base_key
from pydantic import ConfigDict, Field

from tasks import publish, recorder
from tasks.core import approval as core
from tasks.core import approval_page
from tasks.core import plan as plans
from tasks.core.approval import Approval, WaitingRun
from tasks.core.database import Database
from tasks.core.errors import ApprovalRejected, BadInput
from tasks.core.models import State
from tasks.core.settings import MigrateParameters
from tasks.gates import where_it_stands
from tasks.steps import MINUTE, step

SECONDS_PER_HOUR = 3600
log = logging.getLogger("tasks.approval")


class Decision(RunInput):
    """What the page of a waiting run asks for."""

    decision: Literal["approve", "reject"] = Field(
        title="Decision", description="approve: the legacy columns go. reject: both models stay as they are."
    )
    decided_by: str = Field(title="Your name", min_length=1, description="It goes into the summary and the report.")
    database: str = Field(default="", title="Database", description="To approve: the name of the database, typed out.")
    reason: str = Field(default="", title="Reason", description="To reject: why.")

    @classmethod
    def about(cls, database: Database) -> type[Self]:
        """The same, where the server itself refuses another database's name and a rejection without a reason."""
        rules: dict[str, Any] = {
            "if": {"properties": {"decision": {"const": "approve"}}, "required": ["decision"]},
            "then": {"properties": {"database": {"const": database.database}}, "required": ["database"]},
            "else": {"properties": {"reason": {"minLength": 1}}, "required": ["reason"]},
        }
        config = ConfigDict(**cls.model_config, json_schema_extra=rules)
        return type("Decision", (cls,), {"model_config": config, "__module__": __name__})


async def hear(database: Database, parameters: MigrateParameters) -> None:
    """Find out whether this run goes on with one that has waited, and what was decided; the recorder keeps it.

    Raises:
        BadInput: `approve` names another database, or nothing waits.
        ApprovalRejected: somebody has said no; the database is as it was.
    """
    if parameters.mode != "apply":
        return
    waiting = await core.find_waiting_run(database, parameters.schema_name)
    run = recorder.current_run()
    if parameters.approve:
        run.approval = _approved_from_shell(database, parameters, waiting)
    elif waiting is not None and waiting.flow_run_id == str(_flow_run_id()):
        run.approval = await _decided(database, parameters, waiting)
    if run.approval is not None and run.approval.granted:
        run.note_extra(approved_by=run.approval.decided_by)


def was_measured(parameters: MigrateParameters) -> bool:
    """Whether the run that this one goes on with has measured the legacy model; a paired one measures at the end."""
    return recorder.current_run().approval is not None and not parameters.paired


@step("approval", timeout_seconds=10 * MINUTE)
async def ask(database: Database, parameters: MigrateParameters) -> datetime | None:
    """Publish what is about to happen and write down that the run waits, unless it was approved already.

    Returns:
        Until when it waits; None if it may go on.
    """
    run = recorder.current_run()
    found = run.preflight
    # Who has taken the transform back meanwhile has taken back what was approved.
    if run.approval is not None and run.approval.granted and found.state is State.DUAL:
        run.detail(f"approved by {run.approval.decided_by}")
        return None
    plan = await plans.make_plan(database, parameters)
    target, hours = parameters.target_improvement, parameters.approval_hours
    page = approval_page.page(database, found, plan, run.answers, target=target, hours=hours)
    await publish.page("approval", page, "What the cut-over locks, what it brings, and what was found")
    backup = run.backup.directory if run.backup is not None else None
    deadline = await core.ask(
        database, parameters.schema_name, run.run_id,
        flow_run_id=_flow_run_id(), hours=hours, backup_directory=backup,
    )  # fmt: skip
    run.approval_page = approval_page.in_short(database, found, plan, run.answers, deadline)
    run.detail(f"awaiting approval until {deadline:%Y-%m-%d %H:%M %Z}")
    return deadline


async def suspend_where_prefect_can_resume(run: recorder.Recorder) -> None:
    """Hand the waiting over to the Prefect server, where a worker can take the run up again. Does not return then.

    Raises:
        Pause: Prefect's own sign that this process is done.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return
    parameters = run.parameters
    assert isinstance(parameters, MigrateParameters)
    log.info(
        "This run waits, and holds nothing meanwhile. Read the artifact approval, then choose Resume in the menu of this page."
        " If nobody does so within %g h, the legacy columns stay and both models stay live.",
        parameters.approval_hours,
    )
    await asuspend_flow_run(
        wait_for_input=Decision.about(run.database).with_initial_data(description=run.approval_page),
        timeout=int(parameters.approval_hours * SECONDS_PER_HOUR),
        key=_key(run.run_id),
    )


def _approved_from_shell(database: Database, parameters: MigrateParameters, waiting: WaitingRun | None) -> Approval:
    if parameters.approve != database.database:
        _refuse(parameters, "it is not the name of the database", f"Give --approve {database.database}")
    if waiting is None:
        _refuse(parameters, "no run awaits approval there", "Begin with --mode apply --require-approval")
    if not waiting.open:
        late = f"run {waiting.run_id} waited until {waiting.deadline:%Y-%m-%d %H:%M %Z}"
        _refuse(parameters, late, "Ask anew with --mode apply --require-approval")
    return Approval(
        waiting=waiting, closing="approved", decided_by=f"{getpass.getuser()} on {socket.gethostname()}, by --approve"
    )


def _refuse(parameters: MigrateParameters, reason: str, remedy: str) -> NoReturn:
    raise BadInput(name="approve", value=parameters.approve, reason=reason, remedy=remedy)


async def _decided(database: Database, parameters: MigrateParameters, waiting: WaitingRun) -> Approval:
    answer: dict[str, Any] | None = await aread_flow_run_input(
        keyset_from_base_key(f"suspended-{_key(waiting.run_id)}")["response"]
    )
    if answer is None:  # a retry: it was killed before it could wait, it expired, or it was cancelled
        return Approval(waiting=waiting, closing="asked again", decided_by="nobody")
    decision = Decision(**answer)
    if decision.decision == "approve" and decision.database == database.database:
        return Approval(waiting=waiting, closing="approved", decided_by=decision.decided_by, reason=decision.reason)
    reason = decision.reason or f"the database was named {decision.database!r}"
    await core.close(database, parameters.schema_name, waiting, "rejected", decision.decided_by, reason)
    state = await where_it_stands(database, parameters.schema_name)
    raise ApprovalRejected(who=decision.decided_by, reason=reason, state=state)


def _key(run_id: str) -> str:
    return f"approval-{run_id}"


def _flow_run_id() -> UUID | None:
    context = FlowRunContext.get()
    return context.flow_run.id if context is not None and context.flow_run is not None else None
