"""Holds one PostgreSQL server for another process, and ends it when that process is gone.

Runs as a program of its own, from its file, with the standard library alone: `python server_guard.py '<json>'`. It sits
in a session of its own, so a terminal's Ctrl-C reaches it only through its owner. Its standard input is a pipe from the
owner. One line is an order: "fast" and "immediate" stop the server as pg_ctl does, with " remove" its directory goes
too, and "keep" lets it outlive the owner. The end of the pipe without an order means that the owner died, however it
died. Linux also ends the server if this process is killed.

The JSON has `command` (how to run postgres), `uid` and `gid` (or null), `log` (a file) and `directory`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

POLL_SECONDS = 0.1
FAST_STOP_SECONDS = 60.0
# PostgreSQL's meaning of signals: "Shutting Down the Server" in its manual.
SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _stop(server: subprocess.Popen[bytes], mode: str) -> None:
    if server.poll() is not None:
        return
    server.send_signal(SIGNALS[mode])
    try:
        server.wait(timeout=FAST_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _order(*, watch_input: bool) -> str | None:
    """The owner's order, "" if the owner is gone, None if nothing came within POLL_SECONDS."""
    ready, _, _ = select.select([sys.stdin] if watch_input else [], [], [], POLL_SECONDS)
    return os.read(0, 64).decode().strip() if ready else None


def main(instructions: dict[str, Any]) -> int:
    """Run the server until it ends, the owner says so or the owner is gone.

    Returns:
        The server's exit code.
    """
    terminated = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)

    identity: dict[str, Any] = {}
    if instructions["uid"] is not None:
        identity = {"user": instructions["uid"], "group": instructions["gid"], "extra_groups": []}
    with Path(instructions["log"]).open("ab") as log:
        server = subprocess.Popen(
            instructions["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - this process has one thread
            **identity,
        )
    watch_input, remove = True, False
    while server.poll() is None:
        order = _order(watch_input=watch_input)
        if terminated:
            _stop(server, "fast")
            remove = True
        elif order == "keep":
            watch_input, remove = False, True
        elif order == "":
            _stop(server, "immediate")
            remove = True
        elif order is not None:
            mode, _, rest = order.partition(" ")
            _stop(server, mode)
            remove = rest == "remove"
    if remove:
        with contextlib.suppress(OSError):
            shutil.rmtree(instructions["directory"])
    return server.returncode


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
