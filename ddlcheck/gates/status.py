"""The last verdict of a node's gate and its age, for who has no time to ask again: `ddlcheck.gates` draws the file."""

from __future__ import annotations

from ddlcheck import __version__
from ddlcheck.errors import NotSeen
from ddlcheck.gates import files, moments, text
from ddlcheck.gates.result import Result

PATH = "/run/ddlcheck/status.json"
SCHEMA = 1
_MOST = 4 << 20


class Kept:
    """A verdict that was kept: ``result``, ``age`` in seconds, and ``time``, the epoch by the node's wall clock."""

    __slots__ = ("age", "result", "time")

    def __init__(self, result: Result, age: float, time: float) -> None:
        self.result = result
        self.age = age
        self.time = time


def write(result: Result, path: str = PATH) -> None:
    """Keep a verdict; raises `NotSeen` with one sentence when that is not possible (not root, a link in the way)."""
    body = {"version": SCHEMA, "ddlcheck": __version__, **moments.stamp(), **result.to_json()}
    files.replace(path, f"{text.dumps(body)}\n".encode())


def read(max_age: float, path: str = PATH) -> Kept:
    """Return the last verdict; raises `NotSeen` with one sentence when there is none that may be believed.

    Believed is a regular file of root, or of ourselves, in a folder that nobody else can write to, made since the last
    boot and at most ``max_age`` seconds ago. Both are counted by clocks that nobody sets.
    """
    data = files.read(path, _MOST)
    try:
        body = text.loads(data.decode("ascii"))
        if not data.endswith(b"\n") or type(body) is not dict:
            raise ValueError("it was cut short")
        if body["version"] != SCHEMA:
            raise NotSeen(f"{path} has version {body['version']!r}; this ddlcheck reads {SCHEMA}")
        result, time = Result.from_json(body), float(body["time"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise NotSeen(f"{path} does not hold a verdict: {type(exc).__name__}: {exc}") from exc
    return Kept(result, moments.fresh(path, body, max_age), time)
