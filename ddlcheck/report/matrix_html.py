"""Heat maps of every pair in one self-contained file: hover, sort, and the culprits marked.

Values are packed in 12 bits each on a logarithmic scale (a step is at most 0.3 % where they span a factor of
100,000), symmetric tables by half: 1,024 nodes with three tables take 4.2 MB. Colours are cividis (Nuñez,
Anderton, Renslow 2018), which reads the same with every common kind of colour blindness.
"""

from __future__ import annotations

import base64
import html
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from ddlcheck.report import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ddlcheck.judging.matrix import Matrix
    from ddlcheck.judging.outliers import Findings
    from ddlcheck.verdict import Status, Verdict

_TABLES = (
    ("bandwidth", "Bandwidth, one way", "MB/s", True),
    ("latency", "Latency, half a round trip", "µs", False),
    ("both", "Bandwidth, both ways at once (sum)", "MB/s", True),
)
_STEPS = 4094
#: Verdicts that are listed; a report of a thousand is not read.
_LISTED = 200


def render(matrix: Matrix, findings: Findings | None, verdicts: Sequence[Verdict], *, source: str = "") -> str:
    """Return the whole page."""
    tables = [
        {"name": name, "title": title, "unit": unit, "more": more, **_packed(table)}
        for name, title, unit, more in _TABLES
        if (table := getattr(matrix, name)) is not None and not np.isnan(table).all()
    ]
    racks = (findings.racks if findings else None) or matrix.rack
    data: dict[str, Any] = {
        "nodes": list(matrix.nodes),
        "racks": [racks.get(node, "") for node in matrix.nodes],
        "tables": tables,
        "culprits": [culprit.to_json() for culprit in findings.culprits] if findings else [],
    }
    # "<" cannot occur in the script element, so nothing a node is called can end it.
    packed = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = resources.files("ddlcheck.report").joinpath("matrix.html").read_text(encoding="utf-8")
    fills = {"@TITLE@": html.escape(source or "fabric"), "@VERDICTS@": _verdicts(verdicts), "@DATA@": packed}
    for mark, text in fills.items():
        before, _, after = page.partition(mark)
        page = before + text + after
    return page


def _packed(table: NDArray[np.float64]) -> dict[str, Any]:
    """Return ``{low, high, half, typical, data}``: 0 for nothing, 1 to 4095 from log low to log high."""
    known = table[~np.isnan(table)]
    low, high = float(known.min()), float(known.max())
    span = float(np.log(high / low)) or 1.0
    codes = np.zeros(table.shape, dtype=np.uint16)
    codes[~np.isnan(table)] = np.round(np.log(known / low) / span * _STEPS).astype(np.uint16) + 1
    half = bool(np.array_equal(table, table.T, equal_nan=True))
    flat = codes[np.triu_indices(len(codes), 1)] if half else codes.ravel()
    if flat.size % 2:
        flat = np.append(flat, np.uint16(0))
    first, second = flat[::2].astype(np.uint32), flat[1::2].astype(np.uint32)
    both = first << 12 | second
    raw = np.stack([both >> 16, both >> 8 & 255, both & 255], axis=1).astype(np.uint8).tobytes()
    return {
        "low": low, "span": span, "half": half, "typical": float(np.median(known)),
        "data": base64.b64encode(raw).decode(),
    }  # fmt: skip


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    alike: dict[tuple[Status, str, str], list[str]] = {}
    for verdict in sorted(verdicts, key=lambda v: -v.status):
        key = verdict.status, verdict.seen, verdict.cause or verdict.promised
        alike.setdefault(key, []).extend(verdict.nodes)
    rows = []
    for (status, seen, why), nodes in list(alike.items())[:_LISTED]:
        cells = (status.name, fold.nodes(tuple(dict.fromkeys(nodes))), seen, why)
        inner = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr class="{status.name.lower()}">{inner}</tr>')
    left = len(alike) - _LISTED
    return "\n".join(rows) + (f"<tr><td></td><td></td><td>and {left} more</td><td></td></tr>" if left > 0 else "")
