"""Which nodes are near each other, where nobody declared racks: groups that stand out in a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ddlcheck.judging.matrix import Matrix, Table

#: MAD to the standard deviation of a normal distribution.
_MAD = 1.4826


def deviation(values: Table) -> float:
    """Return the standard deviation that the median absolute deviation stands for."""
    found = values[~np.isnan(values)]
    return float(np.median(np.abs(found - np.median(found))) * _MAD) if found.size else 0.0


def find(matrix: Matrix) -> dict[str, str]:
    """Return groups of nodes that are near each other, where the matrix falls apart into such; else nothing."""
    table = matrix.latency if matrix.latency is not None else matrix.bandwidth
    n = len(matrix.nodes)
    if table is None or n < 8:  # noqa: PLR2004 - two groups of four
        return {}
    y = np.log(table) if table is matrix.latency else -np.log(table)
    y = np.fmin(y, y.T)
    values = np.sort(y[~np.isnan(y)])
    values = values[:: max(1, values.size // 20000)]
    cut = _split(values)
    if cut is None:
        return {}
    near = y < cut
    group = np.full(n, -1)
    for i in range(n):
        if group[i] < 0:
            todo = [i]
            while todo:
                k = todo.pop()
                fresh = np.flatnonzero(near[k] & (group < 0))
                group[fresh] = i
                todo.extend(fresh.tolist())
    sizes = {g: int((group == g).sum()) for g in set(group.tolist()) if g >= 0}
    real = {g for g, size in sizes.items() if size > 1}
    inside = np.isin(group, list(real))
    same = (group[:, None] == group[None, :]) & inside[:, None] & ~np.isnan(y)
    if len(real) < 2 or inside.sum() < 0.8 * n or near[same].mean() < 0.9:  # noqa: PLR2004 - most of them, truly near
        return {}
    numbers = {g: i + 1 for i, g in enumerate(sorted(real))}
    return {node: f"group {numbers[g]}" for node, g in zip(matrix.nodes, group.tolist(), strict=True) if g in real}


def _split(values: Table) -> float | None:
    """Return where sorted values fall into two kinds (Otsu), or None where they are of one kind."""
    total, count = values.sum(), values.size
    below = np.cumsum(values)[:-1]
    k = np.arange(1, count)
    between = (total * k / count - below) ** 2 / (k * (count - k))
    at = int(np.argmax(between)) + 1
    low, high = values[:at], values[at:]
    if min(low.size, high.size) < 0.02 * count:
        return None
    gap = float(np.median(high) - np.median(low))
    # A thing cut in two halves has a gap of 1.6 deviations of the whole, and so about 2.7 of its halves.
    if gap < 6 * max(deviation(low), deviation(high), 0.005):
        return None
    return float((np.median(low) + np.median(high)) / 2)
