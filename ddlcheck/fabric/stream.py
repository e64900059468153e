"""What the ranks said, from the launcher's output: marked lines are events, the rest is its own talk.

Nothing here trusts a line: it may be cut, interleaved with another, of the wrong shape or megabytes long.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Event = dict[str, Any]

MARK = "@ddlcheck@ "
#: A rank writes at most 3,500 bytes a line; more is not a rank's.
MAX_LINE = 4096
#: Bytes of the launcher's own talk that are kept: its head holds the first cause, its tail the last word.
KEEP = 16 * 1024
#: How often each rank says the same before any is through MPI_Init, until it is taken for going in circles: UCX
#: repeats for ever that it may not lock memory. Of so many different sayings, at most.
CIRCLES, _SAYINGS = 50, 200
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")

#: Every event, and the fields it must have.
_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "build": {"rank": int, "host": str, "why": str},
    "built": {"rank": int, "host": str, "mpi": str},
    "born": {"rank": int, "host": str, "memlock_soft": str, "memlock_hard": str, "stack": str},
    "rank": {"rank": int, "size": int, "host": str, "mpi": str},
    "pair": {"r": int, "a": int, "b": int, "lat": list, "bw": list, "bad": int, "at": int, "via": list},
    "hang": {"rank": int, "r": int, "a": int, "b": int, "during": str},
    "stuck": {"rank": int, "r": int, "a": int, "b": int, "during": str, "how": str},
    "silent": {"rank": int, "hub": int, "r": int},
    "died": {"rank": int, "signal": int},
    "count": {"rank": int, "phase": str, "payload": int, "moved": dict},
    "error": {"rank": int, "why": str},
    "links": {"rank": int, "links": dict, "addresses": dict},
    "cuda": {"rank": int, "has": int, "device": str, "says": int, "why": str},
    "bye": {"rank": int},
    "exit": {"rc": int},
}
_LATENCY = ("size", "n", "median", "p99", "min")
_BANDWIDTH = ("size", "ab", "ba", "both")


def parse(line: str) -> Event | None:
    """Return the event a marked line holds, or None where it holds none that can be believed."""
    at = line.find(MARK)
    if at < 0 or len(line) - at > MAX_LINE:
        return None
    try:
        event = json.loads(line[at + len(MARK) :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("t"), str):
        return None
    fields = _FIELDS.get(event["t"])
    if fields is None or not all(_is(event.get(name), kind) for name, kind in fields.items()):
        return None
    return event if _sound(event) else None


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _device(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(_number(value.get(k)) for k in ("n", "size", "rate")))


def _sound(event: Event) -> bool:
    if event["t"] == "pair":
        return (
            all(isinstance(x, dict) and all(_number(x.get(k)) for k in _LATENCY) for x in event["lat"])
            and all(isinstance(x, dict) and all(_number(x.get(k)) for k in _BANDWIDTH) for x in event["bw"])
            and len(event["via"]) == 2  # noqa: PLR2004 - one for each of the pair
            and all(isinstance(x, str) for x in event["via"])
            and _device(event.get("dev"))
        )
    if event["t"] == "stuck":
        return _is(event.get("cpu", 0), int)
    if event["t"] == "links":
        return all(isinstance(x, str) for key in ("links", "addresses") for x in event[key].values())
    if event["t"] == "count":
        return all(
            isinstance(x, list) and len(x) == 2 and all(_number(y) for y in x)  # noqa: PLR2004 - sent, received
            for x in event["moved"].values()
        )
    return True


#: What mpirun and prterun say of a rank that a signal ended; SIGINT and SIGTERM are the launcher's own.
_KILLED = re.compile(
    r"noticed that process rank (\d{1,7}) with PID \d+ on node \S+ exited on\s+signal (\d+)( \([^)\n]{1,40}\))?"
)
_ASKED = ("2", "15")
#: A rank's witness came too late to learn which signal ended it: SIGKILL, or a crash in a library.
UNKNOWN_SIGNAL = "a signal that it could not answer"


class Collector:
    """The events of one launch of so many ``ranks``, by kind, in order; ranks are numbers here."""

    def __init__(self, ranks: int = 1) -> None:
        self.ranks = ranks
        self.events: dict[str, list[Event]] = {kind: [] for kind in _FIELDS}
        self.dropped = 0
        self._first = ""
        self._last = ""
        self._said: dict[str, int] = {}

    def feed(self, line: str) -> Event | None:
        """Take one line; return its event, if it is one."""
        event = parse(line)
        if event is not None:
            self.events[event["t"]].append(event)
            return event
        if MARK.strip() in line:
            self.dropped += 1
            return None
        if not line:
            return None
        line = line[:MAX_LINE].rstrip() + "\n"
        if not self.events["rank"]:
            saying = _NUMBER.sub("", line)
            if saying in self._said or len(self._said) < _SAYINGS:
                self._said[saying] = self._said.get(saying, 0) + 1
        if len(self._first) < KEEP:
            self._first += line
        else:
            self._last = (self._last + line)[-KEEP:]
        return None

    @property
    def talk(self) -> str:
        """What the launcher said itself: the beginning and the end of it."""
        return self._first + ("[…]\n" + self._last if self._last else "")

    def killed(self) -> list[tuple[int, str]]:
        """Return (rank, signal) of ranks that died of one; not of those that the launcher ended itself.

        The launcher says so where it learns of it before a partner that lost its connection ends the job; a rank's
        witness says so always, and mostly the signal. Of several witnesses the first: a launcher may end the other
        ranks by SIGKILL then (Hydra).
        """
        found = _KILLED.findall(self.talk)
        out = {int(rank): f"signal {number}{name}" for rank, number, name in found if number not in _ASKED}
        for event in self.events["died"][:1]:
            out.setdefault(event["rank"], f"signal {event['signal']}" if event["signal"] else UNKNOWN_SIGNAL)
        return list(out.items())

    @property
    def rc(self) -> int | None:
        """The launcher's exit status; None when it did not get to say it."""
        return self.events["exit"][-1]["rc"] if self.events["exit"] else None

    @property
    def over(self) -> bool:
        """Whether the launch is at its end: a rank was ended, or all that answer have said their last word."""
        silent = len(self.events["silent"])
        return (
            bool(self.events["stuck"])
            or self.circling
            or (bool(silent) and len(self.events["bye"]) >= self.size - silent)
        )

    @property
    def circling(self) -> bool:
        """Whether the ranks say the same again and again, none of them through MPI_Init."""
        often = CIRCLES * self.ranks
        return bool(self.events["born"]) and not self.events["rank"] and max(self._said.values(), default=0) > often

    @property
    def size(self) -> int:
        """How many ranks the library says there are; 0 before it started."""
        return self.events["rank"][-1]["size"] if self.events["rank"] else 0
