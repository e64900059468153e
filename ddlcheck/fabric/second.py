"""Whom to measure once more: what looks slow, against nodes that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddlcheck.judging import matrix, outliers

if TYPE_CHECKING:
    from ddlcheck.fabric import Measurement

#: A slow node is measured against so many that are not slow; a passing load on one of them hides nothing.
_AGAINST = 3
#: More suspects than this are no accident that a second look would explain.
_MOST = 32


def suspected(measurement: Measurement) -> list[tuple[str, str]]:
    """Return the pairs to measure again: slow pairs themselves, slow nodes each with some good ones."""
    found = outliers.find(matrix.from_pairs(measurement.nodes, measurement.pairs))
    if len(found.culprits) > _MOST:
        measurement.notes.append(f"{len(found.culprits)} suspects are too many for a second pass")
        return []
    slow = {node for culprit in found.culprits for node in culprit.nodes}
    hung = {frozenset((pair["a"], pair["b"])) for pair in measurement.hung}
    good = [node for node in measurement.nodes if node not in slow and node in measurement.ranks]
    good = [node for node in good if node not in measurement.silent]
    out: dict[frozenset[str], tuple[str, str]] = {}
    for k, culprit in enumerate(found.culprits):
        if len(culprit.nodes) > 1:
            pairs = [(culprit.nodes[0], culprit.nodes[1])]
        else:
            # Others for each suspect, so that they can be measured side by side.
            pairs = [(culprit.nodes[0], good[(k * _AGAINST + i) % len(good)]) for i in range(min(_AGAINST, len(good)))]
        out |= {frozenset(pair): pair for pair in pairs if frozenset(pair) not in hung}
    return list(out.values())
