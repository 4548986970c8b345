"""The local stack, as far as it goes without starting one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deployments.stack import StackFailed, local_stack


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    """Another Prefect server there would answer for ours, and get our deployments."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StackFailed, match=f"Port {port} on 127.0.0.1 cannot be used"):
            with local_stack(tmp_path / "stack", port=port):
                pytest.fail("it started")

    assert not (tmp_path / "stack").exists()


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    with pytest.raises(StackFailed, match="is not empty, and would be removed"):
        with local_stack(tmp_path):
            pytest.fail("it started")

    assert (tmp_path / "precious").exists()
