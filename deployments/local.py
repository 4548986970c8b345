"""`python -m deployments.local`: the whole stack on this machine, with a sample database to migrate from the Prefect UI."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from deployments.stack import ROOT, StackFailed, local_stack
from tasks.core import errors

TO_CLICK = """
The Prefect UI: {ui}

1. Deployments, migrate-to-phases, Run, Custom run: as it stands it makes a plan. Read the artifacts preflight, census and plan.
2. The same with mode "apply" and "Require approval": it stops before the legacy columns go. Read the artifact approval, then
   Resume on the run's page: approve, and type the name of the database, campaigns.
3. The artifact comparison has the gain, summary the whole run. Reports and backups stay in {reports}
4. rollback-phases counts what going back would do; mode "apply" with confirm "campaigns" does it.

Ctrl-C stops everything and removes {directory}.
"""


def main(arguments: list[str]) -> int:
    """Start, wait for Ctrl-C, stop.

    Returns:
        The exit code: 0 after Ctrl-C, 8 if something did not start.
    """
    options = _options(arguments)
    directory = options.directory or Path(tempfile.mkdtemp(prefix="campaign-local-"))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    for order in (signal.SIGINT, signal.SIGTERM):  # a shell that starts this in the background has SIGINT ignored
        signal.signal(order, signal.default_int_handler)
    try:
        with (
            local_stack(
                directory, port=options.port, campaigns=options.campaigns, domains=options.domains, tell=_tell
            ) as stack,
            stack.worker(),
        ):
            _tell(TO_CLICK.format(ui=stack.ui_url, reports=ROOT / "reports", directory=directory))
            while True:
                signal.pause()
    except KeyboardInterrupt:
        _tell("Stopped; nothing is left running.")
        return 0
    except (StackFailed, errors.MigrationToolError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - what a command says
        return errors.ServerStartFailed.exit_code


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.local", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=4200, help="of the UI on 127.0.0.1; 0 takes a free one (default 4200)"
    )
    parser.add_argument("--campaigns", type=int, default=2000, help="of the sample database (default 2000)")
    parser.add_argument("--domains", type=int, default=200_000, help="of the sample database (default 200000)")
    parser.add_argument(
        "--directory", type=Path, help="for the servers and their logs: empty or absent; removed at the end"
    )
    return parser.parse_args(arguments)


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what a command says


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
