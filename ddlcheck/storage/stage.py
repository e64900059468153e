"""The stage: every node writes a token, every other reads it, its writer removes it, every other sees it go."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from ddlcheck import wants as W  # noqa: N812 - read as the vocabulary it is
from ddlcheck.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ddlcheck.judging.mounts import Declared

    #: ``ask({node: {key: want}})``: one round over the nodes, all at once.
    Gathered = dict[str, dict[str, W.Answer] | NodeError]
    Ask = Callable[[Mapping[str, Mapping[str, W.Want]]], Gathered]

#: Seconds a step may take beside the time declared for being seen.
SPARE = 10.0
#: Tokens that one node reads at most: beyond that every node reads those of its neighbours in a ring.
MOST = 64


class _Mount:
    """One path, the nodes that share it, and what came of each step on each of them."""

    def __init__(self, path: str, by_node: Mapping[str, Declared], users: Mapping[str, str]) -> None:
        self.path = path
        self.by_node = by_node
        self.users = users
        self.rename = any(d.rename for d in by_node.values())
        self.lock = any(d.lock for d in by_node.values())
        self.nonce = secrets.token_hex(8)
        self.parts: dict[str, dict[str, Any]] = {node: {"peers": list(by_node)} for node in by_node}

    def writers(self) -> list[str]:
        """Return the nodes whose tokens were written."""
        return [
            n for n, part in self.parts.items() if part.get("write", {}).get("state") == "" and "as" in part["write"]
        ]

    def want(self, step: str, node: str, names: Iterable[str]) -> W.Want:
        m = self.by_node[node]
        # Together: to meet, to replace in slow rounds, to meet again, to lock.
        turns = 8 if step == "together" else 1
        # What root may not do, it was the job user who did; and he alone may then remove it.
        return {
            "op": "token", "step": step, "path": m.path, "folder": m.scratch, "nonce": self.nonce, "me": node,
            "names": list(names), "within": m.within, "deadline": turns * m.within + SPARE, "user": self.users[node],
            "rename": self.rename, "lock": self.lock, "as": self.parts[node].get("write", {}).get("as", ""),
        }  # fmt: skip


def share(
    mounts: Mapping[str, Mapping[str, Declared]],
    users: Mapping[str, str],
    ask: Ask,
    *,
    progress: Callable[[str], None] = lambda _text: None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return ``{path: {node: {"peers": [node, …], step: what came of it}}}``.

    ``mounts`` is ``{path: {node: what it declared}}``, of nodes that answered their probe; ``users`` the job user
    of each. Steps: ``write``, ``read``, ``together`` where rename or lock are declared, ``remove``, ``gone``.
    """
    all_ = [_Mount(path, by_node, users) for path, by_node in mounts.items()]
    progress("tokens on shared file systems")
    try:
        _round(all_, ask, "write")
        _round(all_, ask, "read")
        _round([m for m in all_ if m.rename or m.lock], ask, "together", only_writers=True)
    finally:
        # Also after an interrupt: what we wrote is ours to remove.
        _round(all_, ask, "remove", only_writers=True)
    _round(all_, ask, "gone")
    return {m.path: m.parts for m in all_}


def _round(mounts: Iterable[_Mount], ask: Ask, step: str, *, only_writers: bool = False) -> None:
    """Have every node take one step on every mount, and keep what came of it."""
    wanted: dict[str, dict[str, W.Want]] = {}
    places: dict[tuple[str, str], _Mount] = {}
    for m in mounts:
        writers = m.writers()
        for node in writers if only_writers else m.by_node:
            want = m.want(step, node, _names(step, node, writers))
            key = W.key(want)
            wanted.setdefault(node, {})[key] = want
            places[node, key] = m
    if not wanted:
        return
    got = ask(wanted)
    for (node, key), m in places.items():
        answers = got.get(node)
        m.parts[node][step] = _came(answers, key)


def _names(step: str, node: str, writers: list[str]) -> list[str]:
    """Return whose tokens a step is about."""
    if step == "remove":
        # Meeting points, the lock and the file that was replaced are the first writer's to remove.
        more = ["lock", "rename", "rename.new"] if writers[:1] == [node] else []
        return [node, f"lock-at.{node}", f"rename-at.{node}", *more]
    if step == "together" or len(writers) <= MOST:
        return writers
    # In a ring, so that all are read by many; and the first, so that all have one in common.
    at = writers.index(node) if node in writers else 0
    ring = writers[at:] + writers[:at]
    return list(dict.fromkeys([*ring[: MOST - 1], writers[0]]))


def _came(answers: dict[str, W.Answer] | NodeError | None, key: str) -> dict[str, Any]:
    if answers is None or isinstance(answers, NodeError):
        return {"state": "lost", "error": str(answers or "not asked")[:200]}
    answer = answers.get(key, W.Answer(why="not asked"))
    if answer.why or not isinstance(answer.data, dict):
        return {"state": answer.why or "failed", "error": answer.err[:200]}
    return dict(answer.data)
