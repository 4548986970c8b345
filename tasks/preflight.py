"""Step 1: look at everything, change nothing. A blocker ends the run here."""

from __future__ import annotations

from tasks import publish, recorder
from tasks.core import plan as plans
from tasks.core import preflight as core
from tasks.core import run as runs
from tasks.core import state as states
from tasks.core.database import Database, connect
from tasks.core.errors import BadInput, Refused
from tasks.core.models import Plan, PreflightReport, State
from tasks.core.settings import MigrateParameters, Parameters
from tasks.steps import MINUTE, step


@step("preflight", retry=False, timeout_seconds=10 * MINUTE)
async def check_database(database: Database, parameters: MigrateParameters) -> PreflightReport:
    """Look at the database and publish the findings and the census.

    Raises:
        Refused: if there is a blocker, unless only the standing is asked for or the database is migrated already.
    """
    run = recorder.current_run()
    found = await core.run_preflight(database, parameters, run.progress, for_apply=parameters.mode == "apply")
    run.note(preflight=found)
    run.detail(f"{found.state}, {len(found.blockers)} blockers, {len(found.warnings)} warnings")
    await publish.page("preflight", core.page(found), "What preflight noticed, and what to do about it")
    await publish.models("census", found.census, "Campaigns by their legacy values, and what these become")
    if found.blockers and parameters.mode != "status" and found.state is not State.MIGRATED:
        raise Refused(count=len(found.blockers), summary=core.summary(found))
    return found


async def is_unproved(database: Database, parameters: MigrateParameters) -> bool:
    """Whether the run that migrated this database died, or failed, before it had validated and tested it."""
    return await runs.left_unfinished(database, parameters.schema_name, recorder.current_run().flow_name)


@step("plan", timeout_seconds=10 * MINUTE)
async def make_plan(database: Database, parameters: MigrateParameters) -> Plan:
    """List every statement that apply would run, with its lock, and publish the list."""
    run = recorder.current_run()
    plan = await plans.make_plan(database, parameters)
    run.note(plan=plan.statements, decisions=plan.decisions, work_left=plan.work_left)
    run.detail(f"{len(plan.statements)} statements, about {plan.seconds:.1f} s")
    await publish.page("plan", plans.as_markdown(plan), "What apply would do, in order, and what it leaves to people")
    return plan


@step("standing", retry=False, timeout_seconds=MINUTE)
async def read_standing(database: Database, parameters: Parameters) -> State:
    """Read from the catalog where the database stands, unless a run is just changing it.

    Raises:
        AnotherRunIsActive: names that run.
        BadInput: if it holds no campaigns in this schema.
    """
    async with connect(database, schema=parameters.schema_name, purpose="standing") as connection:
        await runs.stand_aside(connection, database, parameters.schema_name)
        state = await states.read_state(connection)
    recorder.current_run().note_extra(state=str(state))
    recorder.current().detail(str(state))
    if state is State.NO_CAMPAIGNS:
        raise BadInput(
            name="the database",
            value=f"{database.database}, schema {parameters.schema_name}",
            reason="it has no tables campaigns and generated_domains of the known shape",
            remedy="Name the right database, or the right schema with --schema",
        )
    return state
