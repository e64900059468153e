"""Who is to blame for slow pairs: a node, one of its directions, a pair, or one direction of a pair.

The model: the logarithm of what a pair achieved is what pairs of its class achieve (same rack, across), plus
an effect of the sender, one of the receiver, and one of the pair. Everything is estimated by medians of
medians, so that slow nodes, as long as they are less than half, do not move the yardstick; what is slow is
told from noise by the spread (MAD) of the data themselves and, with many pairs, by the tail of its residuals.

`MATERIAL` is not a threshold for noise: a difference below it is of no concern to a job, however certain.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ddlcheck.judging import clusters
from ddlcheck.judging.clusters import deviation
from ddlcheck.judging.matrix import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ddlcheck.judging.matrix import Matrix, Table

#: Slowness (ratio) that matters, by kind: a node is judged by many values, a link by a single one.
MATERIAL = {"node": 1.1, "pair": 1.25, "link": 1.5}
#: Standard deviations of noise.
_NODE_SIGMAS, _PAIR_SIGMAS = 6.0, 8.0
#: False alarms a matrix may have by the tail of its noise.
_ALPHA = 0.01
#: However heavy the tail: this much slower than its peers is named.
_ALWAYS = 4.0
#: A matrix with more culprits than this is not full of culprits: it has no common yardstick.
MOST = 64


class Culprit:
    """Who is slow, in what, and how much: ``ratio`` is measured to expected (latency > 1, bandwidth < 1).

    ``kind``: ``node``, ``send`` or ``receive`` (one direction of a node), ``pair``, ``link`` (from the first node
    to the second). ``sigmas``: how far from noise.
    """

    __slots__ = ("kind", "metric", "nodes", "ratio", "sigmas")

    def __init__(self, kind: str, nodes: Iterable[str], metric: str, slowness: float, sigmas: float) -> None:
        self.kind = kind
        self.nodes = tuple(nodes)
        self.metric = metric
        self.ratio = math.exp(slowness if metric == "latency" else -slowness)
        self.sigmas = sigmas

    @property
    def slower(self) -> float:
        """How many times slower than expected."""
        return self.ratio if self.metric == "latency" else 1 / self.ratio

    def to_json(self) -> dict[str, Any]:
        """Return what a report's evidence holds."""
        return {"kind": self.kind, "nodes": list(self.nodes), "metric": self.metric, "ratio": round(self.ratio, 4)}

    def __repr__(self) -> str:
        return f"<{self.kind} {'-'.join(self.nodes)} {self.metric} x{self.ratio:.3g}>"


class Findings:
    """What a matrix shows: ``culprits``, the slowest first, and what is typical.

    ``typical[metric]`` is by class of pair; ``spread[metric]``, a standard deviation as a fraction, says how well
    the others agree; ``notes`` what cannot be concluded.
    """

    def __init__(self) -> None:
        self.culprits: list[Culprit] = []
        self.typical: dict[str, dict[str, float]] = {}
        self.spread: dict[str, float] = {}
        self.notes: list[str] = []
        self.racks: dict[str, str] = {}
        self.inferred = False


def find(matrix: Matrix) -> Findings:
    """Judge both metrics of a matrix."""
    out = Findings()
    codes = _codes(matrix, out)
    for metric in METRICS:
        table = matrix.table(metric)
        if table is not None and not np.isnan(table).all():
            _Judge(matrix, metric, table, codes, out).judge()
    out.culprits.sort(key=lambda c: (-c.slower, c.kind, c.nodes))
    n = len(matrix.nodes)
    if n == 2:  # noqa: PLR2004
        out.notes.append("two nodes have no peers: only one direction against the other can be judged, and floors")
    elif n == 3:  # noqa: PLR2004
        out.notes.append("of three nodes, one that is slow cannot be told from two pairs that are")
    return out


def _low_median(values: Table, axis: int = 1) -> Table:
    """Return the lower median along an axis without NaN; NaN where there is nothing.

    The lower one: of a node's two values at N = 3, the good one tells what the node can do.
    """
    ordered = np.sort(values, axis=axis)  # NaN last
    counts = np.count_nonzero(~np.isnan(values), axis=axis)
    index = np.expand_dims(np.maximum((counts - 1) // 2, 0), axis)
    return np.take_along_axis(ordered, index, axis=axis).squeeze(axis)


def _codes(matrix: Matrix, out: Findings) -> NDArray[np.int64]:
    """Return a rack number for each node; a node without a rack is alone in its own."""
    racks = matrix.rack
    if not racks:
        racks = clusters.find(matrix)
        out.inferred = bool(racks)
        if racks:
            groups = len(set(racks.values()))
            out.notes.append(f"no racks declared: {groups} groups of nodes stand out as near each other")
    out.racks = racks
    numbers: dict[str, int] = {}
    known = [numbers.setdefault(racks[x], len(numbers)) if x in racks else -1 - i for i, x in enumerate(matrix.nodes)]
    return np.array(known, dtype=np.int64)


class _Judge:
    """One metric of one matrix: effects in logarithms, positive is slow."""

    def __init__(self, matrix: Matrix, metric: str, table: Table, codes: NDArray[np.int64], out: Findings) -> None:
        self.nodes, self.metric, self.out = matrix.nodes, metric, out
        self.n = len(matrix.nodes)
        self.y = np.log(table) if metric == "latency" else -np.log(table)
        self.same = codes[:, None] == codes[None, :]
        self.known = ~np.isnan(self.y)

    def judge(self) -> None:
        if self.n == 2:  # noqa: PLR2004
            self._two()
            return
        self._subtract_classes()
        send, receive = _low_median(self.y), _low_median(self.y, axis=0)
        # A node that only sends (or only receives) in the table is judged by what there is.
        send, receive = np.where(np.isnan(send), receive, send), np.where(np.isnan(receive), send, receive)
        send, receive = np.nan_to_num(send), np.nan_to_num(receive)
        residual = self.y - send[:, None] - receive[None, :]
        self.sigma = self._noise(residual)
        self.out.spread[self.metric] = deviation(self.y)
        slow = self._nodes(send, receive)
        self._pairs(self._unexplained(send, receive, slow), slow)

    def _two(self) -> None:
        values = self.y[self.known]
        self.out.typical[self.metric] = {"all": self._value(float(np.median(values)))}
        if values.size < 2:  # noqa: PLR2004
            return
        slowness = float(values[0] - values[1])  # 0 to 1, then 1 to 0
        if abs(slowness) > math.log(MATERIAL["link"]):
            nodes = self.nodes if slowness > 0 else self.nodes[::-1]
            self.out.culprits.append(Culprit("link", nodes, self.metric, abs(slowness), 0.0))

    def _value(self, y: float) -> float:
        return math.exp(y if self.metric == "latency" else -y)

    def _subtract_classes(self) -> None:
        """Take what is typical for each class of pair out of ``y``: the median of the nodes' medians."""
        typical = {}
        off = ~np.eye(self.n, dtype=bool)
        kinds = {"same rack": self.same & off, "across": ~self.same}
        if not kinds["same rack"].any() or not kinds["across"].any():
            kinds = {"all": off}
        base = np.zeros_like(self.y)
        for name, where in kinds.items():
            part = np.where(where, self.y, np.nan)
            medians = np.concatenate([_low_median(part), _low_median(part, axis=0)])
            medians = medians[~np.isnan(medians)]
            if medians.size:
                middle = float(np.sort(medians)[(medians.size - 1) // 2])
                base[where] = middle
                typical[name] = self._value(middle)
        self.y = self.y - base
        self.out.typical[self.metric] = typical

    def _noise(self, residual: Table) -> float:
        found = int(self.known.sum())
        # Two effects a node were fitted to them; and of few values the spread is not known well.
        lost = max(found - 2 * self.n, found / 4, 1)
        floor = 0.05 if self.n <= 4 else 0.03 if self.n < 8 else 0.01 if self.n < 16 else 0.002  # noqa: PLR2004
        return max(deviation(residual) * math.sqrt(found / lost), floor)

    def _nodes(self, send: Table, receive: Table) -> NDArray[np.bool_]:
        """Name slow nodes and directions of nodes; return which senders (0) and receivers (1) are."""
        slow = np.zeros((2, self.n), dtype=bool)
        material = math.log(MATERIAL["node"] if self.n >= 16 else 1.15 if self.n >= 8 else 1.25)  # noqa: PLR2004
        limits = []
        for side, effect in enumerate((send, receive)):
            counts = self.known.sum(axis=1 - side)
            own = 1.2533 * self.sigma / np.sqrt(np.maximum(counts, 1))  # a median's standard error
            limit = np.maximum(material, _NODE_SIGMAS * np.maximum(own, deviation(effect)))
            limits.append(np.minimum(limit, math.log(_ALWAYS)))
            slow[side] = effect > limits[side]
        for i in np.flatnonzero(slow.any(axis=0)).tolist():
            effects = np.array([send[i], receive[i]])
            sides = slow[:, i] | (effects > 0.4 * effects.max()) & (effects > material / 2)
            slow[:, i] = sides
            kind = "node" if sides.all() else "send" if sides[0] else "receive"
            size = float(effects[sides].mean())
            self._blame(kind, (i,), size, size / float(min(limits[0][i], limits[1][i])) * _NODE_SIGMAS)
        return slow

    def _unexplained(self, send: Table, receive: Table, slow: NDArray[np.bool_]) -> Table:
        """Return what is left of each pair's slowness when its nodes' part is taken out."""
        parts = []
        for side, effect in enumerate((send, receive)):
            part = np.repeat(effect[:, None], self.n, axis=1)  # row: the node, column: its peer
            values = self.y if side == 0 else self.y.T
            for i in np.flatnonzero(slow[side]):
                # A port at a fixed rate is further from what is typical in the rack than across.
                for where in (self.same[i], ~self.same[i]):
                    found = values[i][where & ~np.isnan(values[i])]
                    if found.size > 2:  # noqa: PLR2004
                        part[i, where] = max(effect[i], float(np.median(found)))
            parts.append(part)
        left: Table = self.y - parts[0] - parts[1].T
        return left

    def _limit(self, kind: str, values: Table) -> float:
        """Return what the noise of so many values does not reach."""
        found = values[~np.isnan(values)]
        few = 1.5 if self.n < 8 and kind == "pair" else 1.0  # noqa: PLR2004
        limit = min(max(math.log(MATERIAL[kind] * few), _PAIR_SIGMAS * self.sigma), math.log(_ALWAYS))
        if found.size < 1200:  # noqa: PLR2004 - no tail to speak of
            return limit
        # An exponential through two points of the tail that a few faults do not move, extended to where noise
        # would come once in 1/alpha matrices. Nearer to the end it sees rarer noise, but also more of the faults.
        reach = 0.0
        # Single directions that are slow are fewer than pairs, and their noise is not halved by a second value.
        deepest = 12 if kind == "link" else 0
        for m in {min(50, found.size // 100), found.size // 1000, found.size // 10000, deepest}:
            if m >= 12:  # noqa: PLR2004
                ordered = np.partition(found, [found.size - 5 * m, found.size - m])
                outer, inner = float(ordered[found.size - m]), float(ordered[found.size - 5 * m])
                reach = max(reach, outer + (outer - inner) / math.log(5) * math.log(m / _ALPHA))
        return max(limit, min(reach, math.log(_ALWAYS)))

    def _pairs(self, left: Table, slow: NDArray[np.bool_]) -> None:
        # Beside a slow node the two effects do not just add: allow for it.
        touched = slow[0][:, None] | slow[1][None, :]
        left = np.where(touched, left - math.log(MATERIAL["pair"]), left)
        back = left.T
        both = np.where(np.isnan(back), left, np.where(np.isnan(left), back, np.minimum(left, back)))
        one_value = np.isnan(left) | np.isnan(back) | (left == back)
        upper = np.triu(np.ones((self.n, self.n), dtype=bool), 1)
        pair_limit = self._limit("pair", np.where(upper, both, np.nan))
        limit = np.where(one_value, max(pair_limit, math.log(MATERIAL["link"])), pair_limit)
        peak = np.fmax(left, back)
        pairs = upper & (both > limit) & (both >= 0.35 * peak)
        link_limit = self._limit("link", np.where(pairs | pairs.T, np.nan, left))
        links = (left > link_limit) & ~one_value & ~(pairs | pairs.T)
        for i, j in np.argwhere(pairs).tolist():
            mean = float(np.nanmean([left[i, j], left[j, i]]))
            self._blame("pair", (i, j), mean, mean / self.sigma)
        for i, j in np.argwhere(links).tolist():
            self._blame("link", (i, j), float(left[i, j]), float(left[i, j]) / self.sigma)
        named = int(pairs.sum() + links.sum())
        if named > MOST:
            self.out.notes.append(f"{named} pairs are slow in {self.metric} by themselves: look at what they share")

    def _blame(self, kind: str, indices: Iterable[int], slowness: float, sigmas: float) -> None:
        self.out.culprits.append(Culprit(kind, (self.nodes[i] for i in indices), self.metric, slowness, sigmas))
