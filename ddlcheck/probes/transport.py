"""Which way to a node: this machine itself, or ssh."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from ddlcheck.probes import local, protocol, ssh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.inventory import Node
    from ddlcheck.probes.protocol import Pipe
    from ddlcheck.wants import Answer, Want


def start(node: Node, deadline: float) -> Pipe:
    """Start the agent on a node; ``deadline`` is a `time.monotonic` moment for being connected."""
    command = protocol.command(node.python, node.become)
    return local.start(command) if node.local else ssh.start(node, command, deadline)


def ask(node: Node, wanted: Mapping[str, Want], seconds: float) -> dict[str, Answer]:
    """Ask one node everything at once; raises `NodeError`."""
    end = time.monotonic() + seconds
    pipe = start(node, end)
    try:
        left = max(0.1, end - time.monotonic())
        return protocol.ask(pipe, wanted, password=node.become_password, deadline=left)
    finally:
        with contextlib.suppress(OSError):
            pipe.close()


def close() -> None:
    """Let go of what is shared between nodes."""
    ssh.close_shared()
