"""Step 4: the phases columns arrive and are filled in batches."""

from __future__ import annotations

from tasks import recorder
from tasks.core import transform as core
from tasks.core.database import Database
from tasks.core.models import TransformResult
from tasks.core.settings import MigrateParameters
from tasks.steps import step


@step("transform")
async def transform_data(database: Database, parameters: MigrateParameters) -> TransformResult:
    """Go from the legacy model to both models, from wherever an earlier run stopped."""
    run = recorder.current_run()
    result = await core.transform(database, parameters, run.run_id, run.progress)
    run.note(transform=result)
    run.add_locks(result.locks)
    longest = f"the longest {result.longest_batch_ms:.0f} ms"
    written = [f"{one.filled + one.settled:,} of {one.column_name} from results" for one in result.domain_statuses]
    run.detail(", ".join([f"{result.campaigns:,} campaigns in {result.batches} batches, {longest}", *written]))
    return result
