"""What each node achieved with its partners, in one value a direction: for reports that cannot hold every pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ddlcheck.judging.matrix import Matrix

#: Up to so many nodes a report holds every pair; of more it would hold little else.
EVERY_PAIR = 64


def medians(matrix: Matrix) -> dict[str, dict[str, float]]:
    """Return ``{node: {"latency_us", "send_MBps", "receive_MBps", "both_MBps"}}``, medians over its partners."""
    out: dict[str, dict[str, float]] = {node: {} for node in matrix.nodes}
    tables = (
        ("latency_us", matrix.latency, 1), ("send_MBps", matrix.bandwidth, 1), ("receive_MBps", matrix.bandwidth, 0),
        ("both_MBps", matrix.both, 1),
    )  # fmt: skip
    for name, table, axis in tables:
        for node, value in zip(matrix.nodes, _median(table, axis), strict=True) if table is not None else ():
            if value == value:  # noqa: PLR0124 - NaN
                out[node][name] = float(f"{value:.6g}")
    return out


def _median(table: NDArray[np.float64], axis: int) -> list[float]:
    """Return the (upper) median along an axis without NaN; NaN where there is nothing."""
    ordered = np.sort(table, axis=axis)  # NaN last
    middle = np.maximum(np.count_nonzero(~np.isnan(table), axis=axis) // 2, 0)
    index = np.minimum(middle, table.shape[axis] - 1)
    found: list[float] = np.take_along_axis(ordered, np.expand_dims(index, axis), axis=axis).squeeze(axis).tolist()
    return found
