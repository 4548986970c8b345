"""`python -m deployments.automate`: make the automations of deployments/automations, or bring them up to date, by name."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore

DIRECTORY = Path(__file__).with_name("automations")
HEARTBEAT, EXPIRY, NOTIFICATIONS = (DIRECTORY / f"{name}.yaml" for name in ("heartbeat", "expiry", "notifications"))
NOWHERE = "00000000-0000-0000-0000-000000000000"  # stands for the id of a block while only the file is checked


def read_automations(path: Path, block_id: str = NOWHERE) -> list[AutomationCore]:
    """The automations of a file, with the id of the notification block that it names."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for automation in content["automations"]:
        for action in automation["actions"]:
            if action.pop("block", None) is not None:
                action["block_document_id"] = block_id
    return [AutomationCore.model_validate(automation) for automation in content["automations"]]


async def save_automations(client: PrefectClient, automations: list[AutomationCore]) -> list[str]:
    """Make each automation, or replace the one of its name: `prefect automation create` would make a second one."""
    said = []
    for automation in automations:
        there = await client.read_automations_by_name(automation.name)
        if there:
            await client.update_automation(there[0].id, automation)
        else:
            await client.create_automation(automation)
        said.append(f"{'replaced' if there else 'made'}: {automation.name}")
    return said


async def _main(block: str | None) -> None:
    async with get_client() as client:
        said = await save_automations(client, read_automations(HEARTBEAT) + read_automations(EXPIRY))
        if block is not None:
            block_type, _, name = block.partition("/")
            document = await client.read_block_document_by_name(name, block_type)
            said += await save_automations(client, read_automations(NOTIFICATIONS, str(document.id)))
    print(*said, sep="\n")  # noqa: T201 - what a command says


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deployments.automate", description=__doc__)
    parser.add_argument(
        "--notify", metavar="TYPE/NAME", help="a notification block, such as slack-webhook/campaign-migrations"
    )
    asyncio.run(_main(parser.parse_args().notify))
