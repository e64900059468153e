"""Ask this node's own gate, from outside its process: a gate that crashes or hangs must not take the asker along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

from ddlcheck.gates.breaker import GATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Where role health_gate puts the gate of a node.
LAUNCHER = "/usr/local/sbin/ddlcheck-node"
#: The unit of its background tier.
SERVICE = "ddlcheck.service"
_READY, _NOT_READY, _UNKNOWN = 0, 1, 3
_BAD = ("FAIL", "UNKNOWN")
_LONGEST = 120
#: Seconds in which systemd takes an order without carrying it out.
_MOMENT = 5.0
_BYTES = 1 << 20


class Trouble:
    """One promise that does not hold, or of which the node could not tell, and why."""

    __slots__ = ("promise", "why")

    def __init__(self, promise: str, why: str) -> None:
        self.promise = promise
        self.why = " ".join(why.split())[:_LONGEST]

    def __repr__(self) -> str:
        return f"{self.promise}: {self.why}"


def ask(launcher: str = LAUNCHER, seconds: float = 25.0) -> list[Trouble]:
    """Return what keeps the node from being ready; nothing at all only where the gate said so and meant it."""
    try:
        child = subprocess.Popen(
            [launcher, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    except OSError as error:
        return [Trouble(GATE, f"{launcher} does not start: {error.strerror}")]
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(child)
        return [Trouble(GATE, f"{launcher} hangs: no answer within {seconds:g} s")]
    return read(child.returncode, out[:_BYTES].decode("utf-8", "replace"), err[-4096:].decode("utf-8", "replace"))


def look_again(seconds: float) -> None:
    """Have the background tier look now; wait for it at most so long, with 0 not at all.

    What it finds is read from its file; where it does not come to an end, what it found earlier stands.
    """
    wait = [] if seconds else ["--no-block"]
    try:
        child = subprocess.Popen(
            ["systemctl", *wait, "start", SERVICE], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip
    except OSError:
        return  # no systemd, no background tier: the gate says so itself
    try:
        child.wait(seconds or _MOMENT)
    except subprocess.TimeoutExpired:
        _end(child)  # the one that waits; the look itself may come to its end later


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill what it started; what does not die (D state) is not waited for."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except OSError:
        pass
    end = time.monotonic() + 1.0
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def read(status: int, out: str, err: str) -> list[Trouble]:
    """Return the troubles in an answer; the exit status and the verdicts have to agree."""
    if status not in (_READY, _NOT_READY, _UNKNOWN):
        said = _refused(out) or (err.strip().splitlines() or ["it said nothing"])[-1]
        how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        return [Trouble(GATE, f"{how}: {_bare(said)}")]
    try:
        verdicts = _verdicts(json.loads(out))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = (err.strip().splitlines() or [out.strip()[:40] or "nothing"])[-1]
        return [Trouble(GATE, f"exit status {status}, and no verdicts: {_bare(said)}")]
    found = [Trouble(v["promise"], v["cause"] or v["seen"]) for v in verdicts if v["status"] in _BAD]
    if status == _READY and not found and not any(v["status"] in ("PASS", "WARN") for v in verdicts):
        found.append(Trouble(GATE, "nothing was judged"))
    if status != _READY and not found:
        found.append(Trouble(GATE, f"exit status {status}, and every verdict is good"))
    return found


def _refused(out: str) -> str:
    """Return why the gate judged nothing, as it says so in JSON."""
    try:
        return str(json.loads(out)["refused"])
    except (ValueError, KeyError, TypeError):
        return ""


def _bare(said: str) -> str:
    """Return a complaint of ours without our own name before it."""
    return said[len("ddlcheck: ") :] if said.startswith("ddlcheck: ") else said  # noqa: FURB188 - of Python 3.9


def _verdicts(record: Any) -> list[dict[str, str]]:  # noqa: ANN401 - JSON
    return [{name: str(one[name]) for name in ("promise", "status", "seen", "cause")} for one in record["verdicts"]]
