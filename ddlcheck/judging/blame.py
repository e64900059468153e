"""From culprits to verdicts: what is said of each, and of all others. Also for matrices of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ddlcheck.judging.matrix import Matrix
    from ddlcheck.judging.outliers import Culprit, Findings

#: What is promised of a pair where nothing is declared.
PEERS = "none slower than its peers"
_UNIT = {"latency": "us", "bandwidth": "MB/s"}
#: How much slower keeps a job off a node; less is worth knowing.
_FAIL = 1.25
_SAYS = {
    "node": "slow with every partner, in both directions",
    "send": "slow to every partner in what it sends, not in what it receives",
    "receive": "slow from every partner in what it receives, not in what it sends",
    "pair": "slow with each other only",
    "link": "slow from the first to the second only",
}
_LOOK = {
    "node": "its port, cable or adapter (width, rate, errors), its bus slot, or other load on it",
    "send": "its cable or adapter in the sending direction, or its share of an uplink",
    "receive": "its cable or adapter in the receiving direction, flow control, or other load on it",
    "pair": "the path between the two: a link between switches, or the routes over it",
    "link": "one direction of the path between the two: a link between switches, or a route over it",
}


def floors(matrix: Matrix, limits: Mapping[str, Mapping[str, float]]) -> Iterator[Verdict]:
    """Judge what a site declared; ``limits[metric][node]`` 0 for none. Both nodes' limits hold for their pair."""
    nodes = matrix.nodes
    for metric, by_node in limits.items():
        table = matrix.table(metric)
        own = np.array([by_node.get(node, 0.0) for node in nodes])
        if table is None or not own.any():
            continue
        if metric == "bandwidth":
            where, name = table < np.maximum(own[:, None], own[None, :]), "at least"
        else:
            most = np.where(own > 0, own, np.inf)
            where, name = table > np.minimum(most[:, None], most[None, :]), "at most"
        if not where.any():
            continue
        worst = float(table[where].min() if metric == "bandwidth" else table[where].max())
        pairs = [(nodes[i], nodes[j]) for i, j in np.argwhere(where).tolist()]
        declared = float(own.max() if metric == "bandwidth" else own[own > 0].min())
        of = int((~np.isnan(table)).sum())
        yield Verdict(
            Status.FAIL,
            f"{metric} misses its floor in {len(pairs)} of {of} directions, at worst {_figure(worst)} {_UNIT[metric]}",
            promised=f"{name} {declared:g} {_UNIT[metric]}",
            nodes=list(dict.fromkeys(x for pair in pairs for x in pair)),
            cause=f"the declared {metric} is not reached",
            remedy="inspect",
            evidence={"pairs": [list(pair) for pair in pairs[:64]], "worst": worst},
            declared={metric: declared},
        )


def unmeasured(matrix: Matrix) -> Iterator[Verdict]:
    """Judge nodes of which a matrix says nothing at all."""
    nodes = [node for node, some in zip(matrix.nodes, _known(matrix), strict=True) if not some]
    if nodes:
        yield Verdict(
            Status.UNKNOWN,
            "not measured with anybody",
            promised=PEERS,
            cause="the matrix holds no value of it",
            remedy="inspect",
            nodes=nodes,
            evidence={"unmeasured": nodes},
        )


def _known(matrix: Matrix) -> list[bool]:
    tables = [table for table in (matrix.latency, matrix.bandwidth) if table is not None]
    known: list[bool] = np.any([~np.isnan(t).all(axis=side) for t in tables for side in (0, 1)], axis=0).tolist()
    return known


def judge(
    matrix: Matrix,
    findings: Findings,
    *,
    twice: set[frozenset[str]] | None = None,
    ports: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """Make a verdict of each culprit, and a last one of all others.

    ``twice``: the pairs that were measured twice; a culprit among them is confirmed. ``ports``: the device that
    carried a node's bytes. ``links``: what is to be said of the links of some nodes.
    """
    out = [_culprit(culprit, findings, twice, ports or {}, links or {}) for culprit in findings.culprits]
    alone = {"node", "send", "receive"}
    blamed = {node for culprit in findings.culprits if culprit.kind in alone for node in culprit.nodes}
    good = [node for node, some in zip(matrix.nodes, _known(matrix), strict=True) if some and node not in blamed]
    typical = "; ".join(_typical(metric, findings) for metric in findings.typical)
    evidence = {
        "typical": findings.typical,
        "spread": findings.spread,
        "notes": findings.notes,
        "racks_inferred": findings.inferred,
    }
    last = Verdict(
        Status.PASS,
        "; ".join([typical + (" (the others)" if blamed else ""), *findings.notes]),
        promised=PEERS,
        nodes=good or list(matrix.nodes),
        evidence=evidence,
    )
    return [*out, last]


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - not 1.2e+04


def _typical(metric: str, findings: Findings) -> str:
    values = (
        f"{_figure(value)} {_UNIT[metric]}{'' if name == 'all' else ' ' + name}"
        for name, value in findings.typical[metric].items()
    )
    spread = findings.spread.get(metric)
    # Three deviations: what nearly all pairs keep to.
    within = "" if spread is None else ", scattered"
    if spread is not None and spread < 0.2:  # noqa: PLR2004 - beyond, "within 60 %" says nothing
        within = f" within {max(3 * spread, 0.01):.0%}"
    return f"{metric} {', '.join(values)}{within}"


def _culprit(
    culprit: Culprit,
    findings: Findings,
    twice: set[frozenset[str]] | None,
    ports: Mapping[str, str],
    links: Mapping[str, str],
) -> Verdict:
    name = f"{culprit.nodes[0]} to {culprit.nodes[1]}" if culprit.kind == "link" else " and ".join(culprit.nodes)
    own = set(culprit.nodes)
    confirmed = twice is not None and any(own <= pair for pair in twice)
    port = ports.get(name, "")
    sure = f"{culprit.sigmas:.0f} times the noise" if culprit.sigmas else "no peers to compare with"
    if twice is not None:
        sure += ", confirmed by a second measurement" if confirmed else ", measured once"
    return Verdict(
        Status.FAIL if culprit.slower >= _FAIL else Status.WARN,
        f"{name}{f' ({port})' if port else ''}: {culprit.ratio:.2g} times the {culprit.metric} of its peers, "
        f"{_SAYS[culprit.kind]} ({sure})",
        promised=PEERS,
        cause=links.get(name) or "look at " + _LOOK[culprit.kind],
        remedy="inspect",
        nodes=culprit.nodes,
        evidence={
            "culprits": [culprit.to_json()],
            "sigmas": round(culprit.sigmas, 1),
            "confirmed": confirmed,
            **({"port": port} if port else {}),
            "typical": findings.typical.get(culprit.metric, {}),
        },
    )
