"""Against a baseline: what changed beyond noise since it was saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ddlcheck.judging import outliers
from ddlcheck.judging.matrix import METRICS, Matrix
from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_UNIT = {"latency": "us", "bandwidth": "MB/s"}
#: A change of all pairs together that is of concern; smaller ones come and go with the weather.
_MATERIAL = 1.05


def compare(then: Matrix, now: Matrix) -> Iterator[Verdict]:
    """Judge what both matrices have; every verdict is a WARN with both figures, or one PASS."""
    nodes = [node for node in now.nodes if node in set(then.nodes)]
    if len(nodes) < 2:  # noqa: PLR2004 - a pair
        yield Verdict(
            Status.UNKNOWN, "the baseline has no pair in common with this run", promised="as in the baseline",
            cause="it was saved from other nodes", remedy="inventory", nodes=now.nodes,
        )  # fmt: skip
        return
    drifted = False
    for metric in METRICS:
        old, new = _part(then, metric, nodes), _part(now, metric, nodes)
        if old is None or new is None:
            continue
        for verdict in _metric(metric, nodes, old, new):
            drifted = True
            yield verdict
    if not drifted:
        yield Verdict(Status.PASS, "no drift from the baseline", promised="as in the baseline", nodes=nodes)


def _part(matrix: Matrix, metric: str, nodes: list[str]) -> NDArray[np.float64] | None:
    table = matrix.table(metric)
    place = {node: i for i, node in enumerate(matrix.nodes)}
    index = [place[node] for node in nodes]
    return None if table is None else table[np.ix_(index, index)]


def _metric(metric: str, nodes: list[str], old: NDArray[np.float64], new: NDArray[np.float64]) -> Iterator[Verdict]:
    change = np.log(new / old) if metric == "latency" else np.log(old / new)  # positive is worse
    values = change[~np.isnan(change)]
    if not values.size:
        return
    middle = float(np.median(values))
    noise = float(np.median(np.abs(values - middle))) * 1.4826
    # A median's standard error; values that share a node are not independent, hence nodes and not pairs.
    if abs(middle) > max(math.log(_MATERIAL), 4 * 1.2533 * noise / math.sqrt(len(nodes))):
        was, has = float(np.nanmedian(old)), float(np.nanmedian(new))
        word = "worse" if middle > 0 else "better"
        yield Verdict(
            Status.WARN,
            f"{metric} {has:.6g} {_UNIT[metric]}, in the baseline {was:.6g} {_UNIT[metric]}: {word} for all",
            promised="as in the baseline", cause="something all nodes share changed: settings, versions, switch, load",
            remedy="inspect", nodes=nodes, evidence={"metric": metric, "baseline": was, "now": has},
        )  # fmt: skip
    found = outliers.find(Matrix(nodes, latency=np.exp(change - middle)))
    for culprit in found.culprits:
        index = [nodes.index(node) for node in culprit.nodes]
        where = (index[0], index[1]) if len(index) > 1 else (index[0], slice(None))
        was, has = float(np.nanmedian(old[where])), float(np.nanmedian(new[where]))
        yield Verdict(
            Status.WARN,
            f"{' and '.join(culprit.nodes)}: {metric} {has:.6g} {_UNIT[metric]}, "
            f"in the baseline {was:.6g} {_UNIT[metric]}",
            promised="as in the baseline", cause=f"this {culprit.kind} changed, the others did not",
            remedy="inspect", nodes=culprit.nodes,
            evidence={"kind": culprit.kind, "metric": metric, "baseline": was, "now": has},
        )  # fmt: skip
