"""Pairs that work, by how fast they are: against the declared, the link, and their peers; one rail at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ddlcheck.judging import blame, carriers, ceiling, outliers
from ddlcheck.judging.matrix import from_pairs
from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ddlcheck.intent import Intent
    from ddlcheck.judging.matrix import Matrix
    from ddlcheck.judging.outliers import Findings

    Parts = Mapping[str, Mapping[str, Any]]


def judge(parts: Parts, intents: Mapping[str, Intent]) -> list[Verdict]:
    """Judge every rail by itself."""
    rails = sorted({pair["rail"] for part in parts.values() for pair in part["pairs"]})
    out = []
    for rail in rails:
        found = _rail(parts, intents, rail, alone=len(rails) == 1)
        for verdict in found if len(rails) > 1 else ():
            verdict.seen = f"rail {rail}: {verdict.seen}"
            verdict.evidence["rail"] = rail
        out += found
    return out


def _rail(parts: Parts, intents: Mapping[str, Intent], rail: int, *, alone: bool) -> list[Verdict]:
    racks = {node: str(intents[node]["fabric_rack"]) for node in parts if str(intents[node]["fabric_rack"])}
    measured = [pair for part in parts.values() for pair in part["pairs"] if pair["rail"] == rail]
    shared = any(intents[node]["fabric_shared_cores"] for node in parts)
    matrix = from_pairs(list(parts), measured, racks, latency_by="min" if shared else "median")
    findings = outliers.find(matrix)
    twice = {frozenset((pair["a"], pair["b"])) for pair in measured if pair["pass"] > 1}
    # A node's counters are of all its rails together.
    ceilings = {n: one for n, part in parts.items() if alone and (one := ceiling.of_node(part)) is not None}
    slow = blame.judge(matrix, findings, twice=twice, ports=_ports(measured), links=ceiling.odd(ceilings))
    for verdict in slow if shared else ():
        if verdict.status is Status.FAIL:
            verdict.status = Status.WARN
            verdict.cause += "; or the host's own load, for the nodes share its cores"
    _say(slow[-1], parts, measured, matrix, ceilings)
    return [*blame.floors(matrix, _floors(intents)), *ceiling.judge(matrix, ceilings), *slow]


def _ports(measured: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return the device that carried most of a node's pairs, where it is one."""
    by: dict[str, Counter[str]] = {}
    for pair in measured:
        for node, device in zip((pair["a"], pair["b"]), pair["via"], strict=True):
            if device.startswith(("ib:", "net:")):
                by.setdefault(node, Counter())[device.split(":")[1]] += 1
    return {node: devices.most_common(1)[0][0] for node, devices in by.items()}


def _say(
    last: Verdict,
    parts: Parts,
    measured: list[Mapping[str, Any]],
    matrix: Matrix,
    ceilings: Mapping[str, ceiling.Ceiling],
) -> None:
    """Add to the verdict on all others what was measured, and what the bytes moved over."""
    rounds = parts[next(iter(parts))].get("rounds", {})
    count = len({frozenset((pair["a"], pair["b"])) for pair in measured})
    last.seen += f"; {pairs_chosen(rounds, count, len(parts) * (len(parts) - 1) // 2)}"
    kinds = sorted({carrier.kind for part in parts.values() if (carrier := carriers.of(part["counters"]))})
    if kinds:
        last.seen += f"; bytes moved over {' and '.join(kinds)}"
    last.evidence |= {"rounds": rounds, "pairs": count, "carriers": kinds}
    share = ceiling.shares(matrix, ceilings)
    if share is not None and not np.isnan(share).all():
        typical = float(np.nanmedian(share))
        last.seen += f", {typical:.0%} of what its links carry"
        last.evidence["of_link_rate"] = round(typical, 4)


def pairs_chosen(rounds: Mapping[str, Any], count: int, all_: int) -> str:
    """Return in words which pairs were measured, and that it is not all of them."""
    of, planned = rounds.get("of", 0), rounds.get("planned", 0)
    if not of:
        return f"{count} pairs"
    if planned >= of:
        return f"all pairs ({count} in {of} rounds)" if count == all_ else f"{count} of {all_} pairs"
    return f"{count} pairs in {planned} random rounds of {of}"


def _floors(intents: Mapping[str, Intent]) -> dict[str, dict[str, float]]:
    variables = {"bandwidth": "fabric_min_bandwidth", "latency": "fabric_max_latency"}
    return {
        metric: {node: float(intent[name] or 0) for node, intent in intents.items()}
        for metric, name in variables.items()
    }


def whole(parts: Parts, racks: Mapping[str, str]) -> tuple[Matrix, Findings | None]:
    """Return what all rails together achieved, for a report, and what stands out in it."""
    matrix = from_pairs(list(parts), [pair for part in parts.values() for pair in part["pairs"]], racks)
    known = matrix.latency is not None or matrix.bandwidth is not None
    return matrix, outliers.find(matrix) if known else None
