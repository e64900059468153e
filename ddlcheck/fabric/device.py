"""Device buffers: nodes that promise CUDA-aware MPI hand it device memory, and what arrives is compared.

After the pairs, and in launches of their own, for a library that is not CUDA-aware crashes: that must cost no other
measurement. Being CUDA-aware is a property of a node, so each node exchanges with one other, not with all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ddlcheck.fabric.names import Names
    from ddlcheck.fabric.stream import Collector, Event

    Launch = Callable[[list[tuple[str, str]]], tuple[Names, Collector]]

#: Launches: each but the last broke on a pair that was then left out, or found nodes without CUDA.
LAUNCHES = 4
#: What a rank was in when it ended, and what is said of it.
_ENDED = {
    "crash": "the rank crashed (SIGSEGV or SIGBUS)", "quit": "the MPI library ended the rank",
    "late": "it did not end in time",
}  # fmt: skip


def exchange(launch: Launch, nodes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return ``{node: {"state", "peer", "why", "says", "gpu", "n", "bad", "at", "size", "rate"}}``.

    ``state``: ``exchanged`` (``n`` messages, ``bad`` of them wrong), ``absent`` (no CUDA there, ``why``), ``broken``
    (``why``: crash, end or silence in an exchange with ``peer``), ``unknown`` (it never came to one). ``says`` is
    what the library says of itself: 1, 0, or -1 for nothing. ``launch`` lets pairs of nodes exchange.
    """
    found: dict[str, dict[str, Any]] = {
        node: {"state": "unknown", "why": "no other node to exchange with"} for node in nodes
    }
    for _ in range(LAUNCHES):
        pairs = _couples(found)
        if not pairs:
            break
        names, collector = launch(pairs)
        before = [one["state"] for one in found.values()]
        _take(found, names, collector)
        if before == [one["state"] for one in found.values()]:
            why = "no rank came to the exchange" if collector.rc else "the exchange was not reached"
            for one in found.values():
                if one["state"] == "unknown":
                    one["why"] = why
            break
    return found


def _couples(found: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Return who is to meet whom: those not known yet, two by two; an odd one meets any that can."""
    left = [node for node, one in found.items() if one["state"] == "unknown"]
    pairs = list(zip(left[::2], left[1::2], strict=False))
    if len(left) % 2:
        other = next((n for n, one in found.items() if one["state"] == "exchanged"), left[0] if len(left) > 1 else None)
        pairs += [(other, left[-1])] if other else []
    return pairs


def _take(found: dict[str, dict[str, Any]], names: Names, collector: Collector) -> None:
    """Add what a launch's ranks said."""
    for event in collector.events["cuda"]:
        if (one := found.get(names.of(event["rank"]) or "")) is not None:
            one |= {"says": event["says"], "gpu": event["device"]}
            if event["why"]:
                one |= {"state": "absent", "why": event["why"]}
    for event in collector.events["pair"]:
        a, b = names.of(event["a"]), names.of(event["b"])
        for node, peer in ((a, b), (b, a)) if event.get("dev") else ():
            if node in found and node is not None:
                _exchanged(found[node], {"peer": peer, "bad": event["bad"], "at": event["at"], **event["dev"]})
    for event in [*collector.events["hang"], *collector.events["stuck"]]:
        _ended(found, names, event)


def _ended(found: dict[str, dict[str, Any]], names: Names, event: Event) -> None:
    """Add what a rank was in when it ended, if that was of CUDA."""
    why, node = _ENDED.get(event.get("how", "late")), names.of(event["rank"])
    if why and node in found and node is not None and event["during"] in ("device buffers", "the start of CUDA"):
        peer = next((n for r in (event["a"], event["b"]) if (n := names.of(r)) != node), None)
        if found[node]["state"] == "unknown":
            found[node] |= {"state": "broken", "why": f"{why} during {event['during']}", "peer": peer}


def _exchanged(one: dict[str, Any], result: dict[str, Any]) -> None:
    """Add one exchange; of several (rails, a partner of an odd node) wrong bytes stay."""
    worse = one["state"] == "exchanged" and one["bad"] > result["bad"]
    one |= {"state": "exchanged", "why": "", **({} if worse else result)}
