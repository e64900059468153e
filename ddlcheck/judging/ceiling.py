"""What a link can carry at most, by its own word: no figure may lie above it, and one far below is worth saying.

The word is ``/sys/class/infiniband/*/ports/*/rate`` (``100 Gb/sec (4X EDR)``: width and rate) or
``/sys/class/net/*/speed``. Devices that are no cable (veth, bridges, Soft-RoCE) were left out by who read them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ddlcheck.judging import carriers
from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ddlcheck.judging.matrix import Matrix

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([GM])b/s(?:ec)?\b(?:\s*\(([0-9]+)X(?: ([A-Z0-9]+))?\))?")
#: Ten bits on the wire for eight, up to QDR; 66 for 64 from FDR on (InfiniBand Architecture 1.3, volume 2).
#: The kernel's ``rate`` is the signalling rate for both.
_TEN_FOR_EIGHT = ("SDR", "DDR", "QDR", "")
#: Share of a node's bytes below which a device carried none of MPI's.
_SOME = 0.05
#: Timers and rounding; no more can be had of a link than it carries.
_SLACK = 1.03
#: Below this part of the rate, something is wrong with how a verbs port is used; one TCP stream fills a link of up to
#: ten gigabits, and seldom a faster one.
_FAR, _ONE_STREAM = 0.5, 1250.0


class Ceiling:
    """``rate`` in MB/s (10^6 bytes) that a node's devices carry together; ``words`` as they say it themselves."""

    __slots__ = ("kind", "rate", "words")

    def __init__(self, rate: float, words: str, kind: str) -> None:
        self.rate = rate
        self.words = words
        self.kind = kind


def rate(text: str) -> float | None:
    """Return what a rate file's words allow, in MB/s of data; None where they say nothing."""
    found = _RATE.match(text.strip())
    if not found:
        return None
    bits = float(found[1]) * (1e9 if found[2] == "G" else 1e6)
    if found[3]:
        bits *= 0.8 if (found[4] or "") in _TEN_FOR_EIGHT else 64 / 66
    return bits / 8e6 or None


def of_node(part: Mapping[str, Any]) -> Ceiling | None:
    """Return the ceiling of one node by the devices that carried its bytes; None where one of them has no rate."""
    carrier, links = carriers.of(part["counters"]), (part["rank"] or {}).get("links")
    if carrier is None or not isinstance(links, dict):
        return None
    prefix = {carriers.VERBS: "ib:", carriers.TCP: "net:"}.get(carrier.kind)
    devices = [d for d, share in carriers.shares(part["counters"]).items() if share >= _SOME and d != "net:lo"]
    names = {":".join(device.split(":")[:2]) for device in devices if prefix and device.startswith(prefix)}
    rates = {name: rate(str(links.get(name, ""))) for name in sorted(names)}
    if not rates or None in rates.values():
        return None
    words = ", ".join(f"{name.partition(':')[2]}: {links[name]}" for name in rates)
    return Ceiling(sum(x for x in rates.values() if x), words[:200], carrier.kind)


def judge(matrix: Matrix, found: Mapping[str, Ceiling]) -> Iterator[Verdict]:
    """Judge bandwidths by what both nodes' links carry; nodes without a known rate are not judged."""
    share = shares(matrix, found)
    if share is None or np.isnan(share).all() or matrix.bandwidth is None:
        return
    over = np.argwhere(share > _SLACK).tolist()
    if over:
        i, j = max(over, key=lambda at: share[at[0], at[1]])
        a, b = matrix.nodes[i], matrix.nodes[j]
        low = min((found[a], found[b]), key=lambda one: one.rate)
        yield Verdict(
            Status.UNKNOWN,
            f"{matrix.bandwidth[i, j]:.0f} MB/s from {a} to {b}, "
            f"more than the link carries ({low.rate:.0f} MB/s; {low.words})",
            promised="no more than the link carries", remedy="inspect",
            cause="not all bytes took that link (shared memory, another port), or its rate or counters are wrong",
            nodes=list(dict.fromkeys(matrix.nodes[k] for pair in over for k in pair)),
            evidence={"pairs": [[matrix.nodes[x], matrix.nodes[y]] for x, y in over[:64]], "rate": low.rate},
        )  # fmt: skip
    typical = float(np.nanmedian(share))
    some = next(iter(found.values()))
    if typical < _FAR and (some.kind == carriers.VERBS or some.rate <= _ONE_STREAM):
        yield Verdict(
            Status.WARN, f"bandwidth is {typical:.0%} of what the links carry ({some.words})", remedy="inspect",
            promised="near what the link carries", nodes=list(found), evidence={"of_link_rate": round(typical, 4)},
            cause="all nodes alike are far below the rate of their links: the adapter's slot (PCIe width), flow "
            "control, MTU, the transport's settings, or a switch that all share",
        )  # fmt: skip


def shares(matrix: Matrix, found: Mapping[str, Ceiling]) -> Any:  # noqa: ANN401 - a table, or None
    """Return each bandwidth as a part of what the slower of the two nodes' links carries."""
    if matrix.bandwidth is None or not found:
        return None
    own = np.array([found[node].rate if node in found else np.nan for node in matrix.nodes])
    return matrix.bandwidth / np.minimum(own[:, None], own[None, :])


def odd(found: Mapping[str, Ceiling]) -> dict[str, str]:
    """Return, for nodes whose links carry less than most others', the sentence that says so."""
    if len(found) < 3:  # noqa: PLR2004 - nobody is in the minority
        return {}
    usual = float(np.median([one.rate for one in found.values()]))
    most = next(one for one in found.values() if one.rate >= usual)
    return {
        node: f"its link carries {one.rate:.0f} MB/s ({one.words}), the others' {usual:.0f} ({most.words})"
        for node, one in found.items() if one.rate < 0.98 * usual
    }  # fmt: skip
