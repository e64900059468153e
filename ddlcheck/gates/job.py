"""One look at the nodes of one job, over by a deadline: what was asked, what it means, and which nodes are left."""

from __future__ import annotations

import resource
import sys
import time
from typing import TYPE_CHECKING

from ddlcheck.ddl import here, layout, rankfile, rundir
from ddlcheck.ddl import seen as question
from ddlcheck.ddl.ask import ask
from ddlcheck.ddl.precheck import Plan
from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.gates import allocation, fanout, spanning
from ddlcheck.gates.slurmctl import Slurm, SlurmError
from ddlcheck.verdict import EXIT_NOT_READY, EXIT_READY, Status, Verdict, exit_status

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ddlcheck.ddl.dialect import Mpi
    from ddlcheck.ddl.rundir import RunDir
    from ddlcheck.ddl.seen import Seen
    from ddlcheck.gates.nodes import Chosen


def say(sentence: str) -> None:
    """Say a sentence on stderr: standard output is the job's."""
    print(f"ddlcheck: {sentence}", file=sys.stderr, flush=True)  # noqa: T201


def own_limit() -> str:
    """Return this process's locked-memory limit as ``ulimit -l`` prints it."""
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return "unlimited" if soft == resource.RLIM_INFINITY else str(soft // 1024)


class Gate:
    """One look at one set of nodes, which has to be over at ``end``."""

    def __init__(self, args: argparse.Namespace, chosen: Chosen, end: float) -> None:
        self.args = args
        self.chosen = chosen
        self.end = end
        self.names = [node.name for node in chosen.nodes]
        self.manager = chosen.slots.manager
        self.mpi: Mpi | None = here.find_mpi(args.mpirun or "mpirun")
        if self.mpi is None and args.mpirun:
            raise UsageError(f"there is no program {args.mpirun}")
        self.seen: Mapping[str, Seen] = {}

    def left(self, most: float) -> float:
        """Return the seconds that are left, at most so many; what has none is told so."""
        return max(0.0, min(most, self.end - time.monotonic()))

    def judge(self) -> list[Verdict]:
        """Ask every node, then what is between the good ones."""
        from ddlcheck.probes import transport  # noqa: PLC0415 - brings paramiko

        mpi = self.mpi
        more = allocation.question(self.names, self.args.launcher)
        script = question.script(mpi.daemon if mpi else "orted", mpi.prefix if mpi else "", more)
        try:
            self.seen = fanout.over(
                self.chosen.nodes,
                script,
                self.left(max(60.0, self.args.deadline / 2)),
                manager=self.manager,
                plain=self.chosen.plain,
            )
            own = self._here(script) if mpi else None
            config = self._config()
            verdicts = self._nodes(self.names, own, config)
            good = [name for name in self.names if name not in allocation.bad_nodes(verdicts)]
            if self.args.exclude_bad and len(good) < len(self.names):
                # Without the bad ones the majority may be another.
                verdicts += self._nodes(good, own, config)
                good = [name for name in good if name not in allocation.bad_nodes(verdicts)]
            if len(good) == len(self.names) or (self.args.exclude_bad and len(good) >= self.args.min_nodes):
                verdicts += self._between(good)
        finally:
            transport.close()
        return allocation.worst(verdicts)

    def _here(self, script: str) -> Seen:
        """Return what this host, where mpirun runs, says of its own Open MPI."""
        local = next((node.name for node in self.chosen.nodes if node.local), "")
        return (
            self.seen[local] if local and self.seen[local].reached else ask(["/bin/sh", "-s"], script, self.left(30.0))
        )

    def _config(self) -> dict[str, str]:
        """Return what Slurm says of its configuration; it explains, and proves nothing."""
        if self.manager != "slurm":
            return {}
        try:
            return Slurm(time.monotonic() + self.left(10.0)).config()
        except SlurmError as error:
            say(f"{error}: what it would explain stays unexplained")
            return {}

    def _nodes(self, names: Sequence[str], own: Seen | None, config: Mapping[str, str]) -> list[Verdict]:
        plan = None
        if self.mpi is not None and own is not None:
            slots = self.chosen.slots
            ranks = {name: self.args.gpus or slots[name] or 1 for name in names}
            limits = {name: str(intent["memlock_limit"]) for name, intent in self.chosen.intents.items()}
            plan = Plan(self.mpi, ranks, slots, own, self.manager, self.args.gpus is not None, limits)
        asked = allocation.Asked(plan, self.manager, self.args.max_age, self.names)
        seen = {name: self.seen[name] for name in names}
        out = allocation.judge(asked, seen, config, own_limit())
        if self.mpi is None:
            out.append(Verdict(Status.SKIP, "no mpirun on this host", promise="openmpi", nodes=names))
        return out

    def _between(self, good: Sequence[str]) -> list[Verdict]:
        nodes = [node for node in self.chosen.nodes if node.name in good]
        out = spanning.ssh(nodes, self.left(30.0), manager=self.manager)
        broken = allocation.bad_nodes(out)
        names = [name for name in good if name not in broken]
        if self.mpi is None or not self.args.budget:
            why = "--budget 0" if self.mpi else "no mpirun on this host"
            return [*out, Verdict(Status.SKIP, f"not measured: {why}", promise="fabric", nodes=names)]
        budget = self.left(self.args.budget)
        if budget < spanning.LEAST:
            late = Verdict(Status.UNKNOWN, f"not measured: {budget:.0f} s were left", promise="fabric", nodes=names,
                           cause="asking the nodes took the time: raise --deadline", remedy="wait")  # fmt: skip
            return [*out, late]
        return out + spanning.fabric(names, budget, mpirun=self.mpi.program, intents=self.chosen.intents)

    def good(self, verdicts: Sequence[Verdict]) -> tuple[list[str], int]:
        """Return the nodes to run on and the exit status; says why where they are not all."""
        bad = allocation.bad_nodes(verdicts)
        good = [name for name in self.names if name not in bad]
        status = exit_status(verdicts)
        if status == EXIT_READY or not self.args.exclude_bad:
            return good, status
        without = ",".join(name for name in self.names if name in bad)
        if len(good) < self.args.min_nodes:
            say(f"{len(good)} of {len(self.names)} nodes are ready, and --min-nodes asks for {self.args.min_nodes}")
            return good, status or EXIT_NOT_READY
        about = [v for v in verdicts if set(v.nodes) & set(good)]
        say(f"going on with {len(good)} of {len(self.names)} nodes, without {without}")
        return good, exit_status(about)

    def files(self, good: Sequence[str]) -> tuple[RunDir, dict[str, str]]:
        """Write host file and rank file of the good nodes; return where, and what the command is told."""
        folder = rundir.make(self.args.run_dir)
        slots = {name: self.args.gpus or self.chosen.slots[name] for name in good}
        lines = (f"{name} slots={count}\n" if count else f"{name}\n" for name, count in slots.items())
        here.write_whole(folder.hostfile, "".join(lines))
        env = {
            "hostfile": str(folder.hostfile), "nodes": ",".join(good), "count": str(len(good)),
            "excluded": ",".join(name for name in self.names if name not in good),
        }  # fmt: skip
        try:
            here.write_whole(folder.rankfile, self._ranks(good))
            env["rankfile"] = str(folder.rankfile)
        except UsageError as error:
            if any("{rankfile}" in word for word in self.args.command):
                raise
            say(f"no rank file: {error}")
        return folder, env

    def _ranks(self, good: Sequence[str]) -> str:
        wanted = layout.Wanted(self.args.gpus)
        slots = {name: self.chosen.slots[name] for name in good}
        seen = {name: self.seen[name] for name in good}
        try:
            dims = layout.dims(wanted, slots, seen)
            return rankfile.render(dims, rankfile.place(dims, list(good), layout.shapes(wanted, slots, seen)))
        except UsageError:
            raise
        except DdlcheckError as error:
            raise UsageError(str(error)) from error
