"""One writer session in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tasks.core.database import connect
from tests.load import child, statements
from tests.load.models import WriterOrders, WriterResult
from tests.load.workload import Workload


async def main() -> None:
    """Write until told to stop, then say what was done."""
    orders = WriterOrders.model_validate_json(child.read_orders())
    stopped = child.stop_signal()
    async with connect(orders.reach.open()) as connection:
        await connection.execute("SELECT set_config('application_name', $1, false)", f"load writer {orders.index}")
        campaigns = [(row["id"], row["user_id"]) for row in await connection.fetch(statements.LIST_CAMPAIGNS)]
        workload = Workload(connection, orders, campaigns)
        child.say_ready()
        await workload.run(stopped)
    result = WriterResult(attempts=workload.attempts, rows=workload.rows.all(), error_texts=workload.error_texts)
    Path(orders.output).write_text(result.model_dump_json())


if __name__ == "__main__":
    asyncio.run(main())
