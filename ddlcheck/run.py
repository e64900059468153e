"""Gather from all nodes at once, with deadlines; then judge everything.

A node that cannot be asked is UNKNOWN for every promise, a judge that lacks something is UNKNOWN for its own,
and so is one that crashes: silence is never a pass.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from typing import TYPE_CHECKING, Any

from ddlcheck import checks as all_checks
from ddlcheck import wants as W  # noqa: N812 - read as the vocabulary it is
from ddlcheck.errors import NodeError, NotSeen, UsageError
from ddlcheck.judging.one import crashed as _crashed
from ddlcheck.judging.one import judge as _one
from ddlcheck.judging.one import stamp as _stamp
from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ddlcheck.checks import Check, Seen
    from ddlcheck.fabric import Head
    from ddlcheck.intent import Intent
    from ddlcheck.inventory import Node
    from ddlcheck.judging.mounts import Declared

    #: ``ask(node, {key: want}, seconds)`` returns ``{key: Answer}`` or raises `NodeError`.
    Ask = Callable[[Node, Mapping[str, W.Want], float], dict[str, W.Answer]]
    #: What came back from each node: answers by want key, or why there are none.
    Gathered = dict[str, dict[str, W.Answer] | NodeError]


def select(only: str = "", skip: str = "") -> dict[str, Check]:
    """Return the checks that ``--only`` and ``--skip`` leave; an unknown name is an error."""
    known = all_checks.names()
    for option, text in (("--only", only), ("--skip", skip)):
        for word in filter(None, text.split(",")):
            if word not in known:
                from ddlcheck.intent import nearest  # noqa: PLC0415

                near = nearest(word, known)
                hint = f"did you mean {near}?" if near else f"one of {', '.join(known)}"
                raise UsageError(f"{option}: there is no check {word!r}: {hint}")
    chosen = [n for n in known if (not only or n in only.split(",")) and n not in skip.split(",")]
    if not chosen:
        raise UsageError("--only and --skip leave no check to run")
    return all_checks.load(chosen)


def plan(
    checks: Mapping[str, Check], intents: Mapping[str, Intent], nodes: Iterable[str]
) -> dict[str, dict[str, W.Want]]:
    """Return what to ask each node, ``{node: {key: want}}``; equal wants of several checks are one."""
    out: dict[str, dict[str, W.Want]] = {}
    for name in nodes:
        asked = out.setdefault(name, {})
        for check in checks.values():
            for want in check.wants(intents[name]).values():
                asked[W.key(want)] = want
    return out


def gather(
    nodes: Sequence[Node],
    wanted: Mapping[str, Mapping[str, W.Want]],
    ask: Ask,
    *,
    forks: int = 32,
    timeout: float = 60.0,
    progress: Callable[[str, NodeError | None], None] = lambda _node, _error: None,
) -> Gathered:
    """Ask every node once, ``forks`` at a time.

    ``timeout`` seconds are for one node; the whole takes at most as many turns of it as there are nodes for
    each fork, and what has not answered by then is reported so. On an interrupt nothing new is begun.
    """
    out: Gathered = {}
    stop = threading.Event()

    def one(node: Node) -> dict[str, W.Answer] | NodeError:
        if stop.is_set():
            return NodeError("interrupted", "not asked: interrupted")
        agent = {key: want for key, want in wanted[node.name].items() if want["op"] not in W.STAGED}
        try:
            return ask(node, agent, timeout)
        except NodeError as exc:
            return exc

    pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(forks, len(nodes))))
    jobs = {pool.submit(one, node): node for node in nodes}
    try:
        for job in concurrent.futures.as_completed(jobs):
            name = jobs[job].name
            out[name] = job.result()
            error = out[name]
            progress(name, error if isinstance(error, NodeError) else None)
    except BaseException:
        # Whoever interrupts does not wait for the nodes' deadlines: their agents end when our end of the line goes.
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return {node.name: out[node.name] for node in nodes}


def measure(
    head: Head,
    gathered: Gathered,
    intents: Mapping[str, Intent],
    *,
    progress: Callable[[str], None] = lambda _text: None,
    shared_cores: bool = False,
    **how: Any,  # noqa: ANN401 - of `ddlcheck.fabric.options.Options`
) -> None:
    """Let MPI speak between every pair of the nodes that answered, and add what came of it to ``gathered``.

    What is declared decides transport, interface, prefix and shared cores; ``how`` holds the stage's other options.
    """
    from ddlcheck.fabric import WANT, options, stage  # noqa: PLC0415 - only where it is wanted

    up = [name for name, got in gathered.items() if not isinstance(got, NodeError)]
    first = intents[up[0]]
    prefix = str(first["openmpi_prefix"])
    binaries = "" if prefix in ("", "/usr") else f"{prefix}/bin/"
    interface = str(first["interfaces_fabric"])
    wanted = options.Options(
        transport=str(first["openmpi_transport"]),
        interfaces=[interface] if interface else [],
        mpirun=f"{binaries}mpirun",
        mpicc=f"{binaries}mpicc",
        cuda=[name for name in up if intents[name]["openmpi_cuda"]],
        shared_cores=shared_cores or any(bool(intents[name]["fabric_shared_cores"]) for name in up),
        **how,
    )
    found = stage.measure(head, {name: intents[name].mpi_name for name in up}, wanted, progress=progress)
    for name, part in found.by_node().items():
        answers = gathered[name]
        assert not isinstance(answers, NodeError)  # noqa: S101 - `up` holds those that answered
        answers[W.key(WANT)] = W.Answer(data=part, ms=found.seconds * 1000)
        rank = part.get("rank")
        late = W.Answer(why="failed", err=f"no rank started here: {found.failure.get('cause', 'it never reported')}")
        answers[W.key(W.rank())] = W.Answer(data=rank) if rank else late


def share(
    nodes: Sequence[Node],
    gathered: Gathered,
    intents: Mapping[str, Intent],
    ask: Ask,
    *,
    forks: int = 64,
    timeout: float = 60.0,
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """Let nodes see each other's tokens on what they share, and add what came of it to ``gathered``.

    A node whose mount did not answer its probe, or is none, takes no part: what it would write would hang, or land
    on its own disk.
    """
    from ddlcheck.checks import nfs  # noqa: PLC0415 - only where it is wanted
    from ddlcheck.storage import stage  # noqa: PLC0415

    mounts: dict[str, dict[str, Declared]] = {}
    asked: dict[tuple[str, str], Declared] = {}
    for name, got in gathered.items():
        for m in nfs.declared(intents[name]) if not isinstance(got, NodeError) else ():
            if m.tokens:
                asked[name, m.path] = m
                if nfs.usable(got.get(W.key(nfs.wants(intents[name])[f"mount {m.path}"])), m):  # type: ignore[union-attr]
                    mounts.setdefault(m.path, {})[name] = m
    by_name = {node.name: node for node in nodes}

    def ask_all(wanted: Mapping[str, Mapping[str, W.Want]]) -> Gathered:
        chosen = [by_name[name] for name in wanted]
        return gather(chosen, wanted, ask, forks=max(forks, len(chosen)), timeout=timeout)

    found = stage.share(
        mounts, {name: str(intents[name]["ssh_mesh_user"]) for name in by_name}, ask_all, progress=progress
    )
    for name, path in asked:
        part = found.get(path, {}).get(name, {"peers": []})
        gathered[name][W.key(W.shared(path))] = W.Answer(data=part)  # type: ignore[index]


def judge(checks: Mapping[str, Check], intents: Mapping[str, Intent], gathered: Gathered) -> list[Verdict]:
    """Judge every node for every promise, then the nodes together; one verdict or more for each pair."""
    out: list[Verdict] = []
    answered = {name: got for name, got in gathered.items() if not isinstance(got, NodeError)}
    for promise, check in checks.items():
        seen: dict[str, Seen] = {}
        for name, got in gathered.items():
            if isinstance(got, NodeError):
                out.append(_unreachable(promise, name, got))
                continue
            seen[name] = _pick(check, intents[name], got)
            out.append(_one(promise, check, name, seen[name], intents[name]))
        if hasattr(check, "judge_together") and answered:
            out += _together(promise, check, seen, {name: intents[name] for name in seen})
    return _reconciled(out)


def _pick(check: Check, intent: Intent, got: Mapping[str, W.Answer]) -> Seen:
    """Return a check's answers under its own names."""
    missing = W.Answer(why="not asked")
    return {name: got.get(W.key(want), missing) for name, want in check.wants(intent).items()}


def _together(promise: str, check: Any, seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> list[Verdict]:  # noqa: ANN401
    begun = time.perf_counter()
    try:
        verdicts = list(check.judge_together(seen, intents))
        if not all(isinstance(verdict, Verdict) for verdict in verdicts):
            verdicts = [_crashed(TypeError("it returned something else than verdicts"))]
    except NotSeen as exc:
        verdicts = [Verdict(Status.UNKNOWN, str(exc), cause="what the nodes are compared by could not be seen")]
    except Exception as exc:  # noqa: BLE001
        verdicts = [_crashed(exc)]
    took = (time.perf_counter() - begun) * 1000
    return [_stamp(v, promise, v.nodes or tuple(seen), took) for v in verdicts]


#: What to do about a node that cannot be asked.
_WAY_OUT = {"host key unknown": "inventory", "host key changed": "inventory", "key refused": "inventory",
            "name": "inventory", "privilege": "inventory", "interrupted": "wait"}  # fmt: skip


def _unreachable(promise: str, node: str, error: NodeError) -> Verdict:
    return Verdict(
        Status.UNKNOWN,
        f"not asked: {error}",
        cause=f"the node could not be asked ({error.reason})",
        remedy=_WAY_OUT.get(error.reason, "inspect"),
        evidence={"reason": error.reason, "error": str(error)},
        promise=promise,
        nodes=(node,),
    )


def _reconciled(verdicts: list[Verdict]) -> list[Verdict]:
    """Drop what is said of nodes of which worse is said: one answer for each promise and node."""
    worst: dict[tuple[str, str], Status] = {}
    for v in verdicts:
        for node in v.nodes:
            worst[v.promise, node] = max(v.status, worst.get((v.promise, node), Status.SKIP))
    return [v for v in verdicts if not all(worst[v.promise, node] > v.status for node in v.nodes)]
