"""PostgreSQL's own programs as subprocesses: no password on a command line, ended with us, their words kept."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

LINES_KEPT = 2_000
LINE_BYTES = 1024 * 1024
WORDS_KEPT = 400
END_SECONDS = 10.0
DETAIL = re.compile(r"(^|: )(detail|DETAIL|Query was): ", re.IGNORECASE)
ERROR = re.compile(r"(^|: )(error|fatal|ERROR|FATAL|PANIC): ")


class ClientFailed(Exception):
    """A program ended with an error; its text is what the program said."""


async def run_client(
    program: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    forgiven: Sequence[str] = (),
) -> str:
    """Run a program to its end; on a cancel it is ended first.

    It has a session of its own, so that Ctrl-C reaches it through us alone. With --verbose it also ends soon after a
    kill of this process, when it writes to a pipe that nobody reads.

    Args:
        forgiven: an error whose line holds one of these texts does not count.

    Returns:
        Its standard output.

    Raises:
        ClientFailed: with its error lines, or its last lines if it named none.
    """
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env={**environment, "LC_ALL": "C", "LANGUAGE": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,
    )
    said: deque[str] = deque(maxlen=LINES_KEPT)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        output, _ = await asyncio.gather(process.stdout.read(), _listen(process.stderr, said))
        await process.wait()
    except BaseException:
        await _end(process)
        raise
    failures = [line for line in said if _is_error(line) and not any(text in line for text in forgiven)]
    excused = any(any(text in line for text in forgiven) for line in said if _is_error(line))
    if failures or (process.returncode != 0 and not excused):
        details = [line for line in said if DETAIL.search(line)] if failures else []
        words = [*failures[:5], *details[:5]] or list(said)[-5:]
        words = [line.removeprefix(f"{program.name}: ")[:WORDS_KEPT] for line in words]
        words = words or [f"it ended with {process.returncode} and said nothing"]
        raise ClientFailed(f"{program.name}: {'; '.join(words)}")
    return output.decode(errors="replace")


async def _listen(stream: asyncio.StreamReader, said: deque[str]) -> None:
    while line := await stream.readline():
        text = line.decode(errors="replace").rstrip()
        log.debug("%s", text)
        said.append(text)


def _is_error(line: str) -> bool:
    return ERROR.search(line) is not None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
