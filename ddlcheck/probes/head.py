"""The node that launches MPI, as the job user, through the agent: obeys `ddlcheck.fabric.Head`."""

from __future__ import annotations

import base64
import contextlib
import time
from typing import TYPE_CHECKING, Any

from ddlcheck.errors import NodeError
from ddlcheck.probes import transport
from ddlcheck.probes.protocol import Conversation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ddlcheck.inventory import Node

#: Seconds to reach the head and to start the agent there.
_CONNECT = 60.0


class AgentHead:
    """A node, and the user as whom everything is done there (empty: whoever the agent runs as)."""

    def __init__(self, node: Node, user: str) -> None:
        self._node = node
        self._user = user

    @contextlib.contextmanager
    def _talk(self, request: Mapping[str, Any], deadline: float) -> Iterator[Conversation]:
        pipe = transport.start(self._node, time.monotonic() + _CONNECT)
        try:
            talk = Conversation(pipe, request, password=self._node.become_password, deadline=deadline)
            talk.hello()
            yield talk
        finally:
            # The end of its stdin tells the agent to end what it runs.
            pipe.close()

    def stream(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float, env: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """Yield a command's stdout by lines; raise `NodeError` when it cannot be run or does not end in time."""
        if stdin:
            raise NotImplementedError("the agent's stdin tells whether we are still there; send input as a file")
        body = {"argv": list(argv), "user": self._user, "env": dict(env or {}), "deadline": deadline}
        with self._talk({"stream": body}, deadline + 15.0) as talk:
            yield from talk.lines()
            if talk.ended.why:
                reason = "timeout" if talk.ended.why == "deadline" else "closed"
                raise NodeError(reason, talk.ended.err.strip()[:300] or "the command did not end in time")

    def put(self, data: bytes, remote_name: str, *, mode: str = "0600") -> str:
        """Write a file into the job user's private cache on the head; return its path there."""
        body = {
            "name": remote_name, "user": self._user, "mode": mode,
            "data": base64.b64encode(data).decode("ascii"),
        }  # fmt: skip
        with self._talk({"put": body}, 60.0) as talk:
            got = talk.answers()["put"]
        if got.why:
            raise NodeError("disk full" if "No space" in got.err else "closed", f"{remote_name}: {got.err}")
        return got.text
