"""Many nodes that say the same are one line: ``node[01-30]``."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ClusterShell.NodeSet import NodeSet, NodeSetException

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ddlcheck.verdict import Status, Verdict


def nodes(names: Iterable[str]) -> str:
    """Return node names folded; names that ClusterShell cannot fold are listed."""
    listed = list(dict.fromkeys(names))
    if any(re.search(r"[^\w.\-]", name) for name in listed):
        return ",".join(listed)
    try:
        folded = NodeSet.fromlist(listed)
        return str(folded) if len(folded) == len(listed) else ",".join(listed)
    except NodeSetException:
        return ",".join(listed)


@dataclass(frozen=True)
class Group:
    """Verdicts that say the same: of several nodes, of several promises, or both."""

    verdict: Verdict  # the first of them, which speaks for all
    promises: tuple[str, ...]
    nodes: tuple[str, ...]
    #: Whether the sentences differ in nothing but each node's own name.
    alike: bool


def groups(verdicts: Iterable[Verdict], own_names: Mapping[str, Sequence[str]]) -> list[Group]:
    """Fold verdicts, worst first; within a status in the order in which they came."""
    same: dict[tuple[Status, str, tuple[str, ...]], list[Verdict]] = {}
    for v in verdicts:
        same.setdefault((v.status, v.promise, _masked(v, own_names)), []).append(v)
    merged: dict[tuple[Status, tuple[str, ...], tuple[str, ...]], list[tuple[str, list[Verdict]]]] = {}
    for (status, promise, masked), members in same.items():
        where = tuple(dict.fromkeys(node for v in members for node in v.nodes))
        merged.setdefault((status, where, masked), []).append((promise, members))
    out = []
    for (_, where, _), found in merged.items():
        texts = {(v.seen, v.cause, v.promised) for _, members in found for v in members}
        out.append(Group(found[0][1][0], tuple(p for p, _ in found), where, len(texts) > 1))
    return sorted(out, key=lambda g: -g.verdict.status)


def _masked(verdict: Verdict, own_names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the sentences with the node's own names taken out."""
    texts = (verdict.seen, verdict.promised, verdict.cause, verdict.remedy)
    if len(verdict.nodes) != 1:
        return texts
    own = own_names.get(verdict.nodes[0])
    if not own:
        return texts
    pattern = _pattern(tuple(own))
    return tuple(pattern.sub("\0", text) for text in texts)


@functools.lru_cache(maxsize=8192)
def _pattern(own: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches a node's own names, the longest first."""
    longest = sorted(own, key=len, reverse=True)
    return re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in longest))
