r"""How we talk with the agent on a node.

We send one shell command. It notes what a fresh session is like (before any privilege is taken), finds a
Python, and starts a bootstrap of one line, which reads the agent and a request from stdin::

    LENGTH\n AGENT-SOURCE REQUEST-AS-ONE-JSON-LINE\n

The agent answers in frames, so that whatever else a login prints can be told apart from an answer::

    @ddlcheck NONCE KIND LENGTH\n BODY\n          KIND: hello, answers, end

Stdin stays open until we have what we asked for: its end tells the agent to kill what it started.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import secrets
import shlex
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ddlcheck.errors import NodeError
from ddlcheck.probes import parts
from ddlcheck.wants import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ddlcheck.wants import Want

#: Bytes one node may send before we stop listening to it.
MAX_BYTES = 8 * 1024 * 1024
#: What a login prints before our first word is kept up to here, as evidence.
MAX_NOISE = 512

_BOOT = (
    "import sys;f=sys.stdin.buffer;c=f.read(int(f.readline()));"
    'exec(compile(c,"ddlcheck-agent","exec"),globals());main(f)'
)
_SHELL = (
    "s=$(ulimit -S -l);h=$(ulimit -H -l);u=$(id -un);"
    'for p in {pythons};do command -v "$p" >/dev/null 2>&1&&'
    'exec {become}"$p" -I -S -c {boot} "$s" "$h" "$u";done;'
    "echo @ddlcheck-no-python;exit 127"
)
_HEAD = re.compile(rb"@ddlcheck (\w+) (\w+) (\d+)\n")


class Pipe(Protocol):
    """A command running on a node, whatever carries it."""

    def send(self, data: bytes) -> None:
        """Write all of it to the command's stdin."""

    def recv(self, timeout: float) -> bytes:
        """Return what is there, or ``b""`` at the end; raise `NodeError` when time is up."""

    def stderr(self) -> str:
        """Return what the command has said on stderr so far, at most a few KiB."""

    def close(self) -> None:
        """Close stdin and let go; never blocks."""


class Hello(NamedTuple):
    """The moment the agent answered: its clock, and ours before and after."""

    node: float
    after: float
    before: float
    noise: str


@functools.cache
def agent_source() -> bytes:
    """Return the agent as it is sent."""
    return (pathlib.Path(__file__).parent / "agent.py").read_bytes()


def command(python: str = "", become: Sequence[str] = ()) -> str:
    """Return the shell command line that starts the agent; any login shell can parse it."""
    pythons = [python] if python else ["python3", "/usr/bin/python3", "/usr/libexec/platform-python"]
    script = _SHELL.format(
        pythons=" ".join(shlex.quote(p) for p in pythons),
        become=f"{shlex.join(become)} " if become else "",
        boot=shlex.quote(_BOOT),
    )
    return f"/bin/sh -c {shlex.quote(script)}"


class Conversation:
    """One request to one node over a `Pipe`."""

    def __init__(self, pipe: Pipe, request: Mapping[str, Any], *, password: str = "", deadline: float) -> None:
        self.pipe = pipe
        self.nonce = secrets.token_hex(8)
        self.end = time.monotonic() + deadline
        self._buffer = bytearray()
        self._total = 0
        self._sent = time.time()
        body = json.dumps({**request, "nonce": self.nonce}).encode()
        source = agent_source()
        head = f"{password}\n".encode() if password else b""
        pipe.send(head + b"%d\n" % len(source) + source + body + b"\n")

    def _more(self) -> bool:
        """Read on; False at the end of the stream."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise NodeError("timeout", "no answer in time")
        data = self.pipe.recv(left)
        self._total += len(data)
        if self._total > MAX_BYTES:
            raise NodeError("too much", f"more than {MAX_BYTES >> 20} MiB of output")
        self._buffer += data
        return bool(data)

    def _frame(self, kind: str) -> tuple[bytes, Any]:
        """Return (what came before, body) of the next frame of a kind."""
        while True:
            for head in _HEAD.finditer(bytes(self._buffer)):  # a copy: the buffer grows meanwhile
                if head[1].decode() != self.nonce or head[2].decode() != kind:
                    continue
                start, length = head.end(), int(head[3])
                if length > MAX_BYTES:
                    raise NodeError("garbage", "an answer of impossible length")
                while len(self._buffer) < start + length:
                    if not self._more():
                        raise NodeError("closed", f"the answer broke off{self._says()}")
                before = bytes(self._buffer[: head.start()])
                body = bytes(self._buffer[start : start + length])
                del self._buffer[: start + length + 1]
                try:
                    return before, json.loads(body)
                except ValueError as exc:
                    raise NodeError("garbage", "an answer that is not JSON") from exc
            if not self._more():
                raise self._silence()

    def _says(self) -> str:
        said = " ".join(self.pipe.stderr().split())[-300:]
        return f": {said}" if said else ""

    def _silence(self) -> NodeError:
        """Say why there was no answer, from what there was instead."""
        said = self._says()
        if b"@ddlcheck-no-python" in self._buffer:
            return NodeError("no python", "no Python 3 on the node (ansible_python_interpreter names another)")
        if re.search(r"sudo|a password is required|not in the sudoers|may not run", said):
            return NodeError("privilege", f"ansible_become is declared, but sudo refused{said}")
        if "No space left" in said:
            return NodeError("disk full", f"no space left on the node{said}")
        if re.search(r"python\S*: .*([Nn]o such file|not found|cannot execute|error while loading)", said):
            return NodeError("no python", f"the Python to be used is not there{said}")
        if self._buffer.strip():
            return NodeError("garbage", f"{len(self._buffer)} bytes that are no answer{said}")
        return NodeError("closed", f"the session ended without an answer{said}")

    def hello(self) -> Hello:
        """Wait for the agent's first word."""
        before, body = self._frame("hello")
        return Hello(float(body["time"]), self._sent, time.time(), before.decode("utf-8", "replace")[:MAX_NOISE])

    def answers(self) -> dict[str, Answer]:
        """Wait for all answers."""
        _, body = self._frame("answers")
        if not isinstance(body, dict):
            raise NodeError("garbage", "answers of the wrong shape")
        return {key: Answer.from_json(record) for key, record in body.items()}

    def lines(self) -> Iterator[str]:
        """Yield the streamed command's lines; at its end return, or raise when it failed to run."""
        mark = b"@ddlcheck %s end " % self.nonce.encode()
        while True:
            line, newline, rest = bytes(self._buffer).partition(b"\n")
            if not newline:
                self._total = len(self._buffer)  # what was passed on no longer counts
                if not self._more():
                    raise NodeError("closed", f"the session ended in the middle{self._says()}")
                continue
            if line.startswith(mark):
                _, body = self._frame("end")
                self.ended = Answer.from_json(body)
                return
            self._buffer[:] = rest
            yield line.decode("utf-8", "replace")

    ended: Answer = Answer(why="not asked")


def ask(pipe: Pipe, wants: Mapping[str, Want], *, password: str = "", deadline: float) -> dict[str, Answer]:
    """Gather wants over a pipe: ``{key: want}`` to ``{key: Answer}``; raises `NodeError`."""
    # The agent gives up first, so that what it has by then still reaches us.
    request = {"wants": dict(wants), "deadline": max(1.0, deadline - 3.0), **parts.needed(wants)}
    talk = Conversation(pipe, request, password=password, deadline=deadline)
    hello = talk.hello()
    answers = talk.answers()
    for key, want in wants.items():
        got = answers.setdefault(key, Answer(why="failed", err="the node left it out"))
        if want["op"] == "now" and isinstance(got.data, dict):
            got.data.update(after=hello.after, before=hello.before)
        if want["op"] == "session" and isinstance(got.data, dict):
            got.data["noise"] = hello.noise.strip("\n")
    return answers
