"""What no node can prove alone, in the seconds before a job: mpirun's ssh, and MPI between a few pairs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ddlcheck import checks as all_checks
from ddlcheck import declared
from ddlcheck import run as runner
from ddlcheck.errors import NodeError
from ddlcheck.intent import Intent
from ddlcheck.judging import edges
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import Answer, each, key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ddlcheck.inventory import Node

#: Below this many seconds no MPI job starts, says anything, and ends.
LEAST = 5.0
#: Enough to see that bytes move, and roughly how fast: a latency, and a bandwidth.
_SIZES, _MS, _ROUNDS = (8, 1 << 20), 20, 2


def ssh(nodes: Sequence[Node], seconds: float, *, manager: str) -> list[Verdict]:
    """Judge the edges of Open MPI's tree below the first level; that one was tried by asking the nodes at all."""
    names = [node.name for node in nodes]
    if manager in ("slurm", "flux"):
        why = f"mpirun starts its daemons through {manager} here, not by ssh"
        return [Verdict(Status.SKIP, why, promise="ssh_mesh", nodes=names)]
    tree = {0: ""} | dict(enumerate((node.name for node in nodes if not node.local), 1))
    targets = {name: [tree[child] for child in edges.children(len(tree), rank)] for rank, name in tree.items() if name}
    asked = [node for node in nodes if targets.get(node.name)]
    if not asked:
        return []
    from ddlcheck.probes import transport  # noqa: PLC0415 - a small job needs none

    wants = {
        node.name: each((*edges.SSH, "--", "{}", f"echo {edges.MARK}"), targets[node.name], parallel=edges.PARALLEL)
        for node in asked
    }
    keyed = {name: {key(want): want} for name, want in wants.items()}
    got = runner.gather(asked, keyed, transport.ask, timeout=max(seconds, 1.0))
    return [verdict for node in asked for verdict in _edges(node.name, targets[node.name], got[node.name])]


def _edges(source: str, targets: Sequence[str], got: Mapping[str, Answer] | NodeError) -> list[Verdict]:
    def bad(nodes: Sequence[str], seen: str, cause: str, remedy: str) -> Verdict:
        return Verdict(Status.FAIL if remedy else Status.UNKNOWN, seen, cause=cause, remedy=remedy or "inspect",
                       promised=f"ssh from {source} without a question", promise="ssh_mesh", nodes=nodes)  # fmt: skip

    answer = Answer(why="failed", err=str(got)) if isinstance(got, NodeError) else next(iter(got.values()))
    if answer.why or not isinstance(answer.data, dict):
        return [
            bad([source], f"it did not try its peers: {answer.err or answer.why}", "the node could not be asked", "")
        ]
    out = []
    for name in targets:
        failure = edges.classify(answer.data.get(name, {}))
        if failure is not None:
            blamed = source if failure.side == "source" else name
            cause = (
                f"{source} cannot start mpirun's daemon on {name}: {edges.WORDS.get(failure.reason, failure.reason)}"
            )
            out.append(bad([blamed], f"{failure.reason}: {failure.said[:120]}", cause, failure.remedy))
    return out


def fabric(
    names: Sequence[str], seconds: float, *, mpirun: str, intents: Mapping[str, Intent],
    progress: Callable[[str], None] = lambda _text: None,
) -> list[Verdict]:  # fmt: skip
    """Let MPI speak between a sample of the pairs, from this machine, within a budget; judge it as `fabric` does."""
    if len(names) < 2:  # noqa: PLR2004 - a pair
        return [Verdict(Status.SKIP, "one node: no pair to measure", promise="fabric", nodes=names)]
    from ddlcheck.fabric import WANT, stage  # noqa: PLC0415
    from ddlcheck.fabric.options import Options  # noqa: PLC0415

    known = intents or _undeclared(names)
    first = known[names[0]]
    interface = str(first["interfaces_fabric"])
    patience = max(2.0, seconds / 4)
    options = Options(
        sizes=_SIZES, ms=_MS, pairs=f"sample:{_ROUNDS}", patience=patience, time_budget=seconds, mpirun=mpirun,
        mpicc="mpicc" if "/" not in mpirun else f"{mpirun.rpartition('/')[0]}/mpicc",
        transport=str(first["openmpi_transport"]), interfaces=[interface] if interface else [],
        shared_cores=any(bool(known[name]["fabric_shared_cores"]) for name in names)
    )  # fmt: skip
    head = _bounded(seconds)
    try:
        found = stage.measure(head, {name: name for name in names}, options, suspects=None, progress=progress)
    finally:
        head.close()
    gathered: dict[str, Any] = {
        name: {key(WANT): Answer(data=part, ms=found.seconds * 1000)} for name, part in found.by_node().items()
    }
    verdicts = runner.judge(all_checks.load(["fabric"]), {name: known[name] for name in names}, gathered)
    from ddlcheck.judging import blame  # noqa: PLC0415 - brings numpy

    for verdict in verdicts:
        if verdict.status is Status.FAIL and verdict.promised == blame.PEERS:
            # Moments, and a few of the pairs, on a fabric that other jobs use: no ground to refuse a job.
            verdict.status = Status.WARN
            verdict.cause += "; seen for moments only: `ddlcheck fabric` measures it"
    return verdicts


def _bounded(seconds: float) -> Any:  # noqa: ANN401 - a class made where its base is wanted
    """Return this machine as a head on which nothing takes longer than the whole budget."""
    from ddlcheck.fabric.local import LocalHead  # noqa: PLC0415

    end = time.monotonic() + seconds

    class Bounded(LocalHead):
        """Trims every deadline to what is left."""

        def stream(self, argv: Sequence[str], *, deadline: float, **more: Any) -> Iterator[str]:  # noqa: ANN401
            left = end - time.monotonic()
            if left <= 0:
                raise NodeError("timeout", f"the budget of {seconds:g} s is used up")
            yield from super().stream(argv, deadline=min(deadline, left), **more)

    return Bounded()


def _undeclared(names: Sequence[str]) -> dict[str, Intent]:
    """Return what is promised where no inventory says anything: the roles' defaults."""
    values = declared.defaults()
    cluster = dict.fromkeys(names, values)
    return {name: Intent(name, values, cluster) for name in names}
