"""The circuit breaker: whether a node may be taken out of service for a promise, or the promise is in doubt itself.

Pure. What it is told comes from the scheduler's own list of nodes, because that is the one thing all nodes share
and that a reboot of a node does not lose: a node taken out by us bears a reason ``ddlcheck: PROMISE[, …]: why``.
"""

from __future__ import annotations

import math
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: A reason that begins so is ours; only such drains are ever taken back.
TAG = "ddlcheck:"
#: Stands for the gate itself where it could not judge: no intent, a crash, a hang.
GATE = "health_gate"
#: Longer ones are cut by some of the tools that show them.
_LONGEST = 200
_PROMISES = re.compile(rf"{TAG} ([a-z_]+(?:, [a-z_]+)*): ")


class Down:
    """A node that is out of service by us: for which promises, and since when (seconds since the epoch)."""

    __slots__ = ("node", "promises", "since")

    def __init__(self, node: str, promises: Sequence[str], since: float) -> None:
        self.node = node
        self.promises = tuple(promises)
        self.since = since


def ours(reason: str) -> bool:
    """Whether a reason is one that we wrote."""
    return reason.startswith(TAG)


def reason(promises: Iterable[str], why: str) -> str:
    """Return the reason for a drain: one line without quotes, so that no tool on its way can trip over it."""
    text = f"{TAG} {', '.join(promises)}: {why}"
    return re.sub(r"[^\x20-\x7e]|[\"'`\\|]+", " ", text)[:_LONGEST].strip()


def promises(text: str) -> tuple[str, ...]:
    """Return the promises that a reason of ours names."""
    found = _PROMISES.match(text)
    return tuple(found[1].split(", ")) if found else ()


def allowed(size: int, share: float) -> int:
    """Return how many nodes of a partition may go for one promise: one always may, or a small one had no gate."""
    return max(1, math.floor(share * size))


def tripped(promise: str, partitions: Mapping[str, Sequence[Down]], sizes: Mapping[str, int], **rule: float) -> str:
    """Return why a further node must not go for this promise; empty when it may.

    ``partitions`` holds, for each partition the node is in, the other nodes that are out by us; ``sizes`` its nodes;
    ``rule`` is ``share``, ``window`` (seconds) and ``now``. The gate's own failures trip nothing: a node whose
    gate cannot judge must not get a job, however many there are.
    """
    if promise == GATE:
        return ""
    for name, downs in partitions.items():
        most = allowed(sizes[name], rule["share"])
        recent = [one for one in downs if promise in one.promises and rule["now"] - one.since <= rule["window"]]
        if len(recent) >= most:
            return _words(promise, name, out=len(recent), size=sizes[name], most=most, window=rule["window"])
    return ""


def surplus(me: Down, promise: str, partitions: Mapping[str, Sequence[Down]], sizes: Mapping[str, int],
            **rule: float) -> str:  # fmt: skip
    """Return why this node, already out, is one too many for a promise; empty when it is not.

    Many nodes look at the same moment, see nobody out and go together. So each looks again afterwards: the first
    ones, by time and then by name, stay out, and the others come back.
    """
    if promise == GATE:
        return ""
    for name, downs in partitions.items():
        most = allowed(sizes[name], rule["share"])
        recent = [one for one in downs if promise in one.promises and rule["now"] - one.since <= rule["window"]]
        before = [one for one in recent if (one.since, one.node) < (me.since, me.node)]
        if len(before) >= most:
            return _words(promise, name, out=len(before), size=sizes[name], most=most, window=rule["window"])
    return ""


def _words(promise: str, partition: str, *, out: int, size: int, most: int, window: float) -> str:
    return (
        f"{out} of the {size} nodes of partition {partition} went out of service for {promise} within "
        f"{window:g} s, and {most} may: the promise, its check or what they share is in doubt, not this node"
    )
