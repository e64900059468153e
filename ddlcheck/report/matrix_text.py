"""A small matrix on the terminal; a large one belongs into the HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddlcheck.judging.matrix import METRICS, TABLES

if TYPE_CHECKING:
    from ddlcheck.judging.matrix import Matrix

#: More nodes than this do not fit a terminal.
MOST = 32


def render(matrix: Matrix) -> str:
    """Return the tables with node names, row to column; nothing for more than `MOST` nodes."""
    if len(matrix.nodes) > MOST:
        return ""
    out = []
    for metric in METRICS:
        table = matrix.table(metric)
        if table is None:
            continue
        form = "{:.2f}" if metric == "latency" else "{:.0f}"
        cells = [["-" if x != x else form.format(x) for x in row] for row in table.tolist()]  # noqa: PLR0124 - NaN
        names = [_printable(node) for node in matrix.nodes]
        left = max(len(name) for name in names)
        widths = [max(len(names[j]), *(len(row[j]) for row in cells)) for j in range(len(names))]
        out.append(f"\n{TABLES[metric]} (row to column)")
        out.append(" ".join([" " * left, *(name.rjust(w) for name, w in zip(names, widths, strict=True))]))
        for name, row in zip(names, cells, strict=True):
            out.append(" ".join([name.ljust(left), *(x.rjust(w) for x, w in zip(row, widths, strict=True))]))
    return "\n".join(out) + "\n" if out else ""


def _printable(name: str) -> str:
    """Return a name without what could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in name)
