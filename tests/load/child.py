"""What the child processes share: orders from standard input, and the word to stop."""

from __future__ import annotations

import asyncio
import sys
import threading


def read_orders() -> str:
    """The first line of standard input, a JSON object."""
    return sys.stdin.readline()


def say_ready() -> None:
    """Tell the parent that the work begins."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def stop_signal() -> asyncio.Event:
    """An event of the running loop, set at the next line of standard input or at its end: then the parent is gone."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.readline()
        loop.call_soon_threadsafe(stopped.set)

    threading.Thread(target=wait, daemon=True).start()
    return stopped
