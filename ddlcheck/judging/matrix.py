"""What every pair of nodes achieved, as matrices: row sends, column receives, NaN where nothing was measured.

Read from ddlcheck's own JSON, from CSV, and from what mpiGraph prints; whatever is wrong with a file is one
sentence. Latency in microseconds (half a round trip), bandwidth in MB/s (10^6 bytes).
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Table = NDArray[np.float64]

METRICS = ("latency", "bandwidth")
#: The name of each metric's table in a file, with its unit.
TABLES = {"latency": "latency_us", "bandwidth": "bandwidth_MBps"}
_KEYS = ("nodes", "rack", *TABLES.values())
#: mpiGraph counts in units of 2^20 bytes (``MBsec`` in its source).
_MEBI = 1.048576
#: More nodes than any matrix anybody measured: a mistake, and 32 GiB.
MAX_NODES = 16384
#: Microseconds and MB/s beyond this, or below its inverse, nobody measured; their ratios leave what a float holds.
_MOST = 1e15


class Matrix:
    """The nodes in order, at least one table (N x N, float64), and the rack of some or all nodes."""

    def __init__(
        self,
        nodes: Sequence[str],
        *,
        latency: Table | None = None,
        bandwidth: Table | None = None,
        rack: Mapping[str, str] | None = None,
        both: Table | None = None,
    ) -> None:
        self.nodes = tuple(nodes)
        self.latency = latency
        self.bandwidth = bandwidth
        self.both = both  # both ways at once, the sum; shown, not judged
        self.rack = dict(rack or {})

    def table(self, metric: str) -> Table | None:
        """Return the table of a metric, or None."""
        return self.latency if metric == "latency" else self.bandwidth

    def to_json(self) -> dict[str, Any]:
        """Return the form that `from_json` reads; NaN becomes null."""
        out: dict[str, Any] = {"nodes": list(self.nodes)}
        for metric, name in TABLES.items():
            table = self.table(metric)
            if table is not None:
                out[name] = [[None if x != x else x for x in row] for row in table.tolist()]  # noqa: PLR0124 - NaN
        if self.rack:
            out["rack"] = self.rack
        return out


def from_pairs(
    nodes: Sequence[str],
    pairs: Iterable[Mapping[str, Any]],
    rack: Mapping[str, str] | None = None,
    *,
    latency_by: str = "median",
) -> Matrix:
    """Return what measured pairs achieved: the smallest size's latency, the largest's bandwidth.

    ``latency_by`` is ``median``, or ``min`` where other load takes the cores from under the ranks.

    Of a pair that was measured twice, the better: a passing load makes slower, nothing makes faster. ``pairs``
    as in `ddlcheck.fabric.Measurement`; those with a node that is not in ``nodes`` are left out.
    """
    place = {node: i for i, node in enumerate(nodes)}
    latency, bandwidth, both = (np.full((len(place), len(place)), np.nan) for _ in range(3))
    for pair in pairs:
        i, j = place.get(pair["a"]), place.get(pair["b"])
        if i is None or j is None or i == j:
            continue
        if pair["lat"]:
            value = min(pair["lat"], key=lambda x: x["size"])[latency_by] or np.nan
            latency[i, j] = latency[j, i] = np.fmin(latency[i, j], value)
        if pair["bw"]:
            large = max(pair["bw"], key=lambda x: x["size"])
            bandwidth[i, j] = np.fmax(bandwidth[i, j], large["ab"] or np.nan)
            bandwidth[j, i] = np.fmax(bandwidth[j, i], large["ba"] or np.nan)
            both[i, j] = both[j, i] = np.fmax(both[i, j], large["both"] or np.nan)
    known = [None if np.isnan(table).all() else table for table in (latency, bandwidth, both)]
    return Matrix(nodes, latency=known[0], bandwidth=known[1], both=known[2], rack=rack)


def load(text: str) -> Matrix:
    """Read a matrix in any of the known forms; raises `UsageError`."""
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        raise UsageError("the file is empty")
    if start[0] in "{[":
        return from_json(start)
    if start.startswith("START mpiGraph") or "\nSend\t" in text or text.startswith("Send\t"):
        return from_mpigraph(text)
    return from_csv(text.lstrip("\ufeff"))


def from_json(text: str) -> Matrix:
    """Read ``{"nodes": […], "latency_us": [[…]], "bandwidth_MBps": [[…]], "rack": {…}}``."""
    try:
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twice)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"not JSON: {exc}") from None
    if not isinstance(found, dict):
        raise UsageError("not an object with nodes and tables")
    for key in found:
        if key not in _KEYS:
            raise UsageError(f"unknown key {key!r}: known are {', '.join(_KEYS)}")
    nodes = _names(found.get("nodes"))
    given = {metric: name for metric, name in TABLES.items() if found.get(name) is not None}
    tables = {metric: _table(found[name], name, nodes) for metric, name in given.items()}
    return _whole(nodes, tables, _rack(found.get("rack"), nodes))


def _no_constant(word: str) -> float:
    raise UsageError(f"{word} is not a measurement: write null for what was not measured")


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        keys = [key for key, _ in pairs]
        raise UsageError(f"key {next(k for k in keys if keys.count(k) > 1)!r} is given twice")
    return out


def _names(nodes: object) -> list[str]:
    if not isinstance(nodes, list) or not all(isinstance(x, str) and x.strip() for x in nodes):
        raise UsageError("nodes has to be a list of names")
    if len(nodes) < 2:  # noqa: PLR2004 - a pair
        raise UsageError(f"nodes names {len(nodes)}: a pair needs two")
    if len(nodes) > MAX_NODES:
        raise UsageError(f"nodes names {len(nodes)}: more than {MAX_NODES} cannot be judged")
    if len(set(nodes)) != len(nodes):
        raise UsageError(f"nodes names {next(x for x in nodes if nodes.count(x) > 1)!r} twice")
    return nodes


def _rack(rack: object, nodes: Sequence[str]) -> dict[str, str]:
    if rack is None:
        return {}
    if not isinstance(rack, dict) or not all(type(x) in (str, int) for x in rack.values()):
        raise UsageError("rack has to map node names to rack names")
    if unknown := next((name for name in rack if name not in set(nodes)), None):
        raise UsageError(f"rack names {unknown!r}, which is not in nodes")
    return {node: str(name) for node, name in rack.items()}


def _table(rows: object, name: str, nodes: Sequence[str]) -> Table:
    n = len(nodes)
    if not isinstance(rows, list) or len(rows) != n:
        size = f"{len(rows)} rows" if isinstance(rows, list) else "no rows"
        raise UsageError(f"{name} has {size} for {n} nodes")
    for node, row in zip(nodes, rows, strict=True):
        if not isinstance(row, list) or len(row) != n:
            size = f"{len(row)} values" if isinstance(row, list) else "no list"
            raise UsageError(f"{name}: the row of {node} has {size} for {n} nodes")
        if not set(map(type, row)) <= {float, int, type(None)}:
            wrong = next(x for x in row if type(x) not in (float, int, type(None)))
            raise UsageError(f"{name}: the row of {node} holds {wrong!r}, which is not a number")
    try:
        table = np.array(rows, dtype=np.float64)
    except OverflowError:
        raise UsageError(f"{name} holds a number that is too large") from None
    return table


def _whole(nodes: Sequence[str], tables: Mapping[str, Table], rack: Mapping[str, str]) -> Matrix:
    """Check what no form may get wrong: signs, the diagonal, that there is anything at all."""
    if not tables:
        raise UsageError(f"there is no table: give {' or '.join(TABLES.values())}")
    for metric, table in tables.items():
        name = TABLES[metric]
        _refuse(np.isinf(table), name, nodes, "infinite")
        _refuse(table < 0, name, nodes, "negative")
        _refuse(table == 0, name, nodes, "zero: write null for what was not measured")
        _refuse((table < 1 / _MOST) | (table > _MOST), name, nodes, "beyond what can be measured: is the unit right?")
        own = np.flatnonzero(~np.isnan(np.diagonal(table)))
        if own.size:
            raise UsageError(f"{name}: {nodes[own[0]]} with itself has a value; the diagonal has to be null")
        if np.isnan(table).all():
            raise UsageError(f"{name} holds no measurement")
    return Matrix(nodes, latency=tables.get("latency"), bandwidth=tables.get("bandwidth"), rack=rack)


def _refuse(where: NDArray[np.bool_], name: str, nodes: Sequence[str], what: str) -> None:
    if where.any():
        i, j = np.argwhere(where)[0]
        raise UsageError(f"{name}: {nodes[i]} to {nodes[j]} is {what}")


def from_csv(text: str) -> Matrix:
    """Read a square table (corner: the metric's name; first row receivers, first column senders) or a list.

    A list has the columns ``from``, ``to`` and ``latency_us`` and/or ``bandwidth_MBps``, one pair a line. An empty
    corner means bandwidth. Comma, semicolon or tab separate.
    """
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(x.strip() for x in row)]
    except csv.Error as exc:
        raise UsageError(f"not CSV: {exc}") from None
    head = [x.strip() for x in rows[0]] if rows else []
    if head[:2] == ["from", "to"]:
        return _from_list(head, rows[1:])
    if len(head) < 3:  # noqa: PLR2004 - a corner and two nodes
        raise UsageError("neither JSON, CSV (a square table, or columns from,to,…) nor mpiGraph's output")
    corner = head[0] or TABLES["bandwidth"]
    metric = next((m for m, name in TABLES.items() if corner in (m, name)), None)
    if metric is None:
        raise UsageError(f"the corner says {corner!r}: it has to be {' or '.join(TABLES.values())}")
    nodes = _names(head[1:])
    if [row[0].strip() for row in rows[1:]] != nodes:
        raise UsageError("the first column does not name the nodes of the first row, in its order")
    values = [_cells(row[1:], row[0]) for row in rows[1:]]
    for i, row in enumerate(values):
        if len(row) == len(nodes) and row[i] == 0:  # spreadsheets like zeros
            row[i] = None
    return _whole(nodes, {metric: _table(values, TABLES[metric], nodes)}, {})


def _cells(cells: Sequence[str], row: str) -> list[float | None]:
    out: list[float | None] = []
    for cell in cells:
        word = cell.strip()
        if word.lower() in ("", "-", "null", "na", "n/a"):
            out.append(None)
            continue
        try:
            value = float(word)
        except ValueError:
            raise UsageError(f"the row of {row} holds {word!r}, which is not a number") from None
        if value != value:  # noqa: PLR0124 - NaN
            raise UsageError(f"the row of {row} holds NaN: leave empty what was not measured")
        out.append(value)
    return out


def _from_list(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Matrix:
    names = {name: metric for metric, name in TABLES.items()}
    columns = list(head[2:])
    if not columns or len(set(columns)) != len(columns) or not set(columns) <= set(names):
        raise UsageError(f"after from,to come {' and/or '.join(names)}, not {','.join(columns) or 'nothing'}")
    nodes = _names(list(dict.fromkeys(x.strip() for side in (0, 1) for row in rows for x in row[side : side + 1])))
    place = {node: i for i, node in enumerate(nodes)}
    tables = {names[c]: np.full((len(nodes), len(nodes)), np.nan) for c in columns}
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise UsageError(f"line {number} has {len(row)} values for {len(head)} columns")
        i, j = place[row[0].strip()], place[row[1].strip()]
        for column, value in zip(columns, _cells(row[2:], row[0]), strict=True):
            table = tables[names[column]]
            if not np.isnan(table[i, j]):
                raise UsageError(f"line {number}: {nodes[i]} to {nodes[j]} is given twice")
            table[i, j] = np.nan if value is None else value
    return _whole(nodes, tables, {})


def from_mpigraph(text: str) -> Matrix:
    """Read the table of send bandwidths of mpiGraph 1.4 and 1.5."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("Send\t")), None)
    if start is None:
        raise UsageError("mpiGraph's output ends before its Send table")
    labels = [x for x in lines[start].split("\t")[1:] if x.strip()]
    hosts = [label.rpartition(":")[0] or label for label in labels]
    # Several ranks of a node are told apart by their number, a single one is its node.
    nodes = _names(hosts if len(set(hosts)) == len(hosts) else labels)
    values: list[list[float | None]] = []
    for i, (label, line) in enumerate(zip(labels, lines[start + 1 :], strict=False)):
        cells = line.rstrip("\t").split("\t")
        if cells[0] != f"{label} to":
            break
        row = _cells(cells[1:], label)
        if i < len(row) and row[i] == 0:
            row[i] = None
        values.append([x if x is None else x * _MEBI for x in row])
    return _whole(nodes, {"bandwidth": _table(values, "Send", nodes)}, {})
