"""One question to many nodes, with one deadline: through the scheduler's own step, a site's tree, or node by node.

Fanning out is left to those who do it well. In a Slurm job one ``srun`` step reaches every node, over Slurm's tree
and without ssh. Elsewhere nodes are asked by ssh, 64 at a time; where there are more, and the site has told
ClusterShell of its tree (topology.conf), over that.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import os
import re
import time
from typing import TYPE_CHECKING

from ddlcheck import run as runner
from ddlcheck.ddl.seen import MAX_BYTES, Seen, read
from ddlcheck.errors import NodeError, UsageError
from ddlcheck.wants import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ddlcheck.inventory import Node
    from ddlcheck.probes.protocol import Pipe

#: Nodes that are asked at once; from more of them on, a tree is used where there is one.
WIDTH = 64
#: Seconds in which ssh has to come through to a gateway or a node of the tree.
CONNECT = 10.0
#: Steps that are tried: a node that cannot be reached ends a step before the others have begun.
_STEPS = 3
_LABEL = re.compile(rb"^ *([0-9]+): ?")
#: What srun says of a node on which nothing could be started.
_ON_NODE = re.compile(r"\bon (?:node )?([A-Za-z0-9_.-]+?)(?:[:,]|\s|$)")
_HOME = "sh -s | base64"


def each(
    nodes: Sequence[Node], script: str, seconds: float, told: Callable[[str, NodeError | None], None] = lambda *_: None
) -> dict[str, Seen]:
    """Ask node by node: a node that is this machine without ssh, the others over a connection of their own."""
    end = time.monotonic() + seconds

    def ask(node: Node, _wants: object, _seconds: float) -> dict[str, Answer]:
        if time.monotonic() >= end:
            raise NodeError("timeout", "not asked: no time was left")
        return {"said": Answer(_listen(node, script, end))}

    got = runner.gather(nodes, {node.name: {} for node in nodes}, ask, forks=WIDTH, timeout=seconds, progress=told)
    return {
        name: Seen({}, answer.reason, str(answer)) if isinstance(answer, NodeError) else read(answer["said"].text)
        for name, answer in got.items()
    }


def _listen(node: Node, script: str, end: float) -> str:
    """Return what a node says; what it said by the time it fell silent is kept, if it had begun."""
    pipe = _start(node, end)
    data = bytearray()
    try:
        pipe.send(f"DDLCHECK_NODE='{node.name}'; export DDLCHECK_NODE\n{script}".encode())
        while chunk := pipe.recv(max(0.0, end - time.monotonic())):
            data += chunk
            if len(data) > MAX_BYTES:
                break
    except NodeError as error:
        if error.reason != "timeout" or b"@ddlcheck host" not in data:
            raise
    finally:
        pipe.close()
    if len(data) > MAX_BYTES:
        raise NodeError("too much", f"the node sent more than {MAX_BYTES} bytes")
    text = bytes(data).decode("utf-8", "replace")
    if "@ddlcheck " not in text:
        raise NodeError("closed", f"the session ended without an answer: {' '.join(text.split())[-200:] or 'silence'}")
    return text


def _start(node: Node, end: float) -> Pipe:
    if node.local:
        from ddlcheck.probes import local  # noqa: PLC0415

        return local.start("sh -s")
    from ddlcheck.probes import ssh  # noqa: PLC0415 - paramiko takes its time, and a step needs none

    return ssh.start(node, "sh -s", end)


def step(nodes: Sequence[Node], script: str, seconds: float) -> dict[str, Seen]:
    """Ask every node of a Slurm job in one step; those that srun names as lost are left out of the next one."""
    end = time.monotonic() + seconds
    out: dict[str, Seen] = {}
    left, lost = [node.name for node in nodes], {}
    for _ in range(_STEPS):
        budget = end - time.monotonic()
        if not left or budget <= 0:
            break
        got, said = _one_step(left, script, min(budget, max(seconds / 2, 10.0)))
        out.update(got)
        silent = [name for name in left if name not in got]
        named = {name: _line(said, name) for name in silent if name in set(_ON_NODE.findall(said))}
        lost.update(named)
        if not named and not got:
            # It is not a node's fault: the step was refused, or srun itself is at a loss.
            lost.update({name: _last(said) for name in silent if name not in lost})
            break
        left = [name for name in silent if name not in named]
        if not named:
            break
    for node in nodes:
        out.setdefault(node.name, Seen({}, "timeout", lost.get(node.name, "the step on it did not answer in time")))
    return {node.name: out[node.name] for node in nodes}


def _line(said: str, name: str) -> str:
    return next(" ".join(line.split()) for line in said.splitlines() if name in _ON_NODE.findall(line))[:200]


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["srun said nothing, and started nothing"])[-1][:200]


def _one_step(names: Sequence[str], script: str, seconds: float) -> tuple[dict[str, Seen], str]:
    """Run one step over some nodes; return what they said, and what srun did."""
    from ddlcheck.probes.pipes import ProcessPipe  # noqa: PLC0415

    count = len(names)
    argv = [
        "srun", "--overlap", "--label", f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1",
        "--cpus-per-task=1", f"--nodelist={','.join(names)}", "--mpi=none", "--cpu-bind=none", "--kill-on-bad-exit=0",
        f"--time={int(seconds / 60) + 1}", "sh", "-c", _HOME,
    ]  # fmt: skip
    try:
        pipe = ProcessPipe(argv)
    except OSError as error:
        return {}, f"srun does not start: {error.strerror}"
    data = bytearray()
    end = time.monotonic() + seconds
    try:
        pipe.send(script.encode())
        pipe.end_input()
        while chunk := pipe.recv(max(0.0, end - time.monotonic())):
            data += chunk
            if len(data) > MAX_BYTES * count:
                break
    except NodeError:
        pass  # what came by now is looked at; who is missing has not answered
    finally:
        pipe.interrupt()
        said = pipe.stderr()
        pipe.close()
    return _by_task(bytes(data), names), said


def _by_task(data: bytes, names: Sequence[str]) -> dict[str, Seen]:
    """Sort a step's labelled lines; a task says itself on which node it is, for Slurm orders nodes its own way."""
    texts: dict[bytes, list[bytes]] = {}
    for line in data.splitlines():
        label = _LABEL.match(line)
        if label:
            texts.setdefault(label[1], []).append(line[label.end() :])
    out = {}
    for lines in texts.values():
        seen = read(_plain(b"".join(lines)))
        if seen["node"] in names:
            out[seen["node"]] = seen
    return out


def _plain(text: bytes) -> str:
    """Decode what came; of an answer that broke off, as much as is whole."""
    try:
        return base64.b64decode(text[: len(text) // 4 * 4]).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def topology() -> str:
    """Return where the site describes its tree to ClusterShell, empty where it does not."""
    from ClusterShell.Defaults import config_paths  # noqa: PLC0415

    return next((path for path in reversed(config_paths("topology.conf")) if os.path.exists(path)), "")


def tree(names: Sequence[str], script: str, seconds: float) -> dict[str, Seen]:
    """Ask over ClusterShell's tree, as this user's ssh reaches the nodes.

    Raises:
        UsageError: the site's description of the tree cannot be used from here.

    """
    from ClusterShell.Event import EventHandler  # noqa: PLC0415 - slow, and rarely needed
    from ClusterShell.NodeSet import NodeSet  # noqa: PLC0415
    from ClusterShell.Propagation import RouteResolvingError  # noqa: PLC0415
    from ClusterShell.Task import task_self  # noqa: PLC0415
    from ClusterShell.Topology import TopologyError  # noqa: PLC0415

    heard: dict[str, list[bytes]] = {name: [] for name in names}
    ended: dict[str, int] = {}
    wrong: dict[str, str] = {}

    class Listener(EventHandler):  # type: ignore[misc]  # ClusterShell has no types
        """Keeps what each node says."""

        def ev_read(self, worker, node, sname, msg):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if sname == worker.SNAME_STDERR:
                wrong[str(node)] = msg.decode("utf-8", "replace")[-300:]
            elif sum(map(len, heard[str(node)])) < MAX_BYTES * 2:
                heard[str(node)].append(msg)

        def ev_hup(self, _worker, node, rc):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            ended[str(node)] = rc

    task = task_self()
    try:
        task.load_topology(topology())
    except TopologyError as error:
        raise UsageError(
            f"{topology()}: {error}; mend it, or name an --inventory, by which nodes are reached without a tree"
        ) from None
    task.router = None  # of an earlier question, with the gateways that were silent then
    task.set_default("stderr", True)  # noqa: FBT003 - ClusterShell's own form
    task.set_info("fanout", WIDTH)
    task.set_info("connect_timeout", min(CONNECT, seconds))
    task.set_info("ssh_options", "-oBatchMode=yes -oStrictHostKeyChecking=yes -oLogLevel=ERROR")
    # Within the command: what is written to a worker is lost to the nodes that it reaches over another gateway than
    # the first one, since that did not answer. Packed, because a word of a command line has 128 KiB at most.
    packed = base64.b64encode(gzip.compress(script.encode())).decode()
    command = f"echo {packed} | base64 -d | gzip -d | {_HOME}"
    task.shell(command, nodes=NodeSet.fromlist(list(names)), handler=Listener(), timeout=seconds, stdin=False)
    try:
        task.run()
    except (TopologyError, RouteResolvingError) as error:  # a gateway that refuses, or none that is left
        task.abort()
        wrong = {name: wrong.get(name) or f"ClusterShell's tree: {error}" for name in names}
    return {name: _heard(heard[name], ended.get(name), wrong.get(name, "")) for name in names}


def _heard(lines: Sequence[bytes], status: int | None, wrong: str) -> Seen:
    from ddlcheck.probes.ssh import classify  # noqa: PLC0415

    seen = read(_plain(b"".join(lines)))
    if seen.reached:
        return seen
    if status is None:
        return Seen({}, "closed" if wrong else "timeout", wrong or "no answer in time")
    return Seen({}, classify(wrong) or "closed", wrong or f"ssh ended with {status}")


def over(
    nodes: Sequence[Node], script: str, seconds: float, *, manager: str = "", plain: bool = True,
    told: Callable[[str, NodeError | None], None] = lambda *_: None,
) -> Mapping[str, Seen]:  # fmt: skip
    """Ask all nodes by the engine that suits them; ``plain``: nothing but the name is known of how to reach them."""
    if manager == "slurm":
        return step(nodes, script, seconds)
    if len(nodes) > WIDTH and plain and topology():
        return tree([node.name for node in nodes], script, seconds)
    return each(nodes, script, seconds, told)
