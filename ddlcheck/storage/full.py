"""Every byte of a data set, read on the nodes that hold it, all at once, saying how far they are."""

from __future__ import annotations

import concurrent.futures
import json
import threading
from typing import TYPE_CHECKING, Any

from ddlcheck import wants as W  # noqa: N812 - read as the vocabulary it is
from ddlcheck.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    #: ``stream(node, argv, seconds)`` yields a command's stdout by lines; raises `NodeError`.
    Stream = Callable[[str, Sequence[str], float], Iterator[str]]
    #: ``progress(node, {"bytes", "of_bytes", …})``.
    Progress = Callable[[str, Mapping[str, Any]], None]

_PYTHON = ("python3", "-I", "-S", "-c")


def prove(
    wanted: Mapping[str, Mapping[str, W.Want]], program: str, stream: Stream, progress: Progress, *, seconds: float,
    forks: int,
) -> dict[str, dict[str, W.Answer] | NodeError]:  # fmt: skip
    """Answer the ``dataset`` wants of every node by reading all of their files.

    ``program`` is that of roles/dataset/files, as one text. A data set whose node does not answer to the end is
    not proven. On an interrupt no node is waited for, nor begun: what runs there ends when our end of the line goes.
    """
    stop = threading.Event()

    def one(node: str) -> dict[str, W.Answer] | NodeError:
        out = {}
        if stop.is_set():
            return NodeError("interrupted", "not asked: interrupted")
        try:
            for key, want in wanted[node].items():
                argv = [*_PYTHON, program, "full", json.dumps(want["spec"])]
                out[key] = _one(node, stream(node, argv, seconds), progress)
        except NodeError as exc:
            return exc
        return out

    pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(forks, len(wanted))))
    try:
        out = dict(zip(wanted, pool.map(one, wanted), strict=True))
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return out


def _one(node: str, lines: Iterable[str], progress: Progress) -> W.Answer:
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue  # what a library may print is no word of ours
        if isinstance(said, dict) and isinstance(said.get("progress"), dict):
            progress(node, said["progress"])
        elif isinstance(said, dict) and isinstance(said.get("result"), dict):
            return W.Answer(data={**said["result"], "state": ""})
        elif isinstance(said, dict) and "error" in said:
            return W.Answer(data={"state": "", "trouble": str(said["error"])[:300]})
    return W.Answer(why="failed", err="the node's program ended without a word")
