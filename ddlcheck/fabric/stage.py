"""The stage: launch, collect, start anew where a launch died of one pair, measure suspects twice."""

from __future__ import annotations

import time
from collections import Counter

from ddlcheck.errors import NodeError, UsageError
from ddlcheck.fabric import Measurement, device, mpirun, rounds, twins
from ddlcheck.fabric.alone import unstarted
from ddlcheck.fabric.causes import UNKNOWN, classify
from ddlcheck.fabric.files import Files
from ddlcheck.fabric.launch import Launcher
from ddlcheck.fabric.names import Names
from ddlcheck.fabric.second import suspected
from ddlcheck.judging.builds import unbuilt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ddlcheck.fabric import Head
    from ddlcheck.fabric.options import Options
    from ddlcheck.fabric.rounds import Pair
    from ddlcheck.fabric.stream import Collector

#: Launches of one run: each but the last died of something that was then left out.
LAUNCHES = 4
#: Seconds more to start for every node: the head starts 128 at a time, and a key exchange costs it up to 90 ms.
START_PER_NODE = 0.1
#: Bytes of schedule an argument may hold; the kernel's limit for one argument is 128 KiB.
_ARGUMENT = 100_000


def measure(
    head: Head,
    hosts: Mapping[str, str],
    options: Options,
    *,
    suspects: Callable[[Measurement], Iterable[tuple[str, str]]] | None = suspected,
    progress: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Measure the pairs of ``hosts`` (inventory name: the name for the host list) from the head.

    ``suspects`` names, from a first pass, the pairs to measure once more. Never raises for what goes wrong on
    the cluster: that is in the measurement.
    """
    started = time.monotonic()
    out = Measurement(list(hosts))
    out.interfaces = list(options.interfaces)
    files = Files(head)
    try:
        _Run(files, hosts, options, out, progress).run(suspects)
    except NodeError as error:
        out.failure = out.failure or {"cause": str(error), "remedy": "reconnect", "text": error.reason}
    finally:
        out.seconds = time.monotonic() - started
        files.remove()
    return out


class _Run:
    """One run of the stage: what is left to do, and what was learned on the way."""

    def __init__(
        self,
        files: Files,
        hosts: Mapping[str, str],
        options: Options,
        out: Measurement,
        progress: Callable[[str], None],
    ) -> None:
        self.files = files
        self.head = files.head
        self.hosts = dict(hosts)
        self.options = options
        self.out = out
        self.progress = progress
        self.end = time.monotonic() + options.time_budget
        self.nodes = list(hosts)  # that still take part; a rank's number is an index here
        self.prepared: Launcher | None = None
        self.start = 0.0

    def run(self, suspects: Callable[[Measurement], Iterable[tuple[str, str]]] | None) -> None:
        if len(self.nodes) < 2:  # noqa: PLR2004 - a pair
            self.out.failure = {"cause": "fewer than two nodes: there is no pair", "remedy": "inventory", "text": ""}
            return
        self._ask_version()
        if self.prepared is None:
            return
        n = len(self.nodes)
        # Nodes that do not start, or cannot build, are left out: the others are still worth measuring.
        if not self._start() and not (self._leave_out() and self._start()):
            return
        self.out.failure = {}
        n = len(self.nodes)
        planned = self._plan(n)
        self.out.rounds = {"of": rounds.count(n), "planned": len(planned), "done": 0}
        todo = [(self.nodes[a], self.nodes[b]) for r in planned for a, b in rounds.pairs(r, n)]
        self._until_done(todo, planned)
        if self.out.pairs and suspects is not None and (again := list(suspects(self.out))):
            self.progress(f"second pass: {len(again)} pairs")
            self._until_done(again, None, number=2)
        if self.options.cuda:
            self.progress("device buffers")
            self.out.device = device.exchange(self._exchange, [n for n in self.hosts if n in self.options.cuda])

    @property
    def launcher(self) -> Launcher:
        assert self.prepared is not None  # noqa: S101 - `run` returned otherwise
        return self.prepared

    def _exchange(self, pairs: list[tuple[str, str]]) -> tuple[Names, Collector]:
        """Let pairs exchange device buffers, in a launch of its own: it may well crash."""
        collector = self._launch([*self._schedule(pairs, None), "cuda=1"])
        return Names(self.nodes, self.hosts, self.options.per_node, collector), collector

    def _ask_version(self) -> None:
        script = 'id -u; "$0" --version 2>&1'
        lines = list(self.head.stream(["sh", "-c", script, self.options.mpirun], deadline=30, env={}))
        text = "\n".join(lines[1:])
        try:
            dialect = mpirun.detect(text)
        except UsageError as error:
            # What else was asked of the cluster is worth its report: this is one promise of several.
            failure = classify(text.replace(self.options.mpirun, "mpirun"))
            known = failure["cause"] != UNKNOWN
            self.out.failure = failure if known else {"cause": str(error), "remedy": "openmpi", "text": text[:300]}
            return
        self.prepared = Launcher(self.files, self.options, dialect, self.progress, root=lines[0] == "0")
        self.out.mpi = dialect.text

    def _start(self) -> bool:
        """Have every daemon start and every node build the program; say which does not."""
        begun = time.monotonic()
        collector = self._launch([], self._start_patience())
        names = Names(self.nodes, self.hosts, self.options.per_node, collector)
        names.add_to(self.out, 0)
        built = {node for e in collector.events["built"] if (node := names.of(e["rank"]))}
        if len(built) == len(self.nodes):
            self.start = time.monotonic() - begun
            return True
        self._fail(collector)
        if not self.out.builds:
            missing = {node: self.hosts[node] for node in self.nodes if node not in built}
            self.out.unstarted |= unstarted(self.files, self.launcher.one_daemon, missing)
            self.progress(f"no daemon starts on {', '.join(self.out.unstarted)}" if self.out.unstarted else "")
        return False

    def _start_patience(self) -> float:
        """Return the seconds daemons and ranks have to start: a site that is patient with a pair is so with these.

        Who has a minute in all does not wait a minute for what may never start.
        """
        o = self.options
        return min(max(o.start, 6 * o.patience), o.time_budget / 3) + START_PER_NODE * len(self.nodes)

    def _leave_out(self) -> bool:
        """Take out the nodes that are named as the cause; tell whether a pair is left."""
        bad = {*self.out.unstarted, *self.out.builds}
        self.nodes = [node for node in self.nodes if node not in bad]
        return bool(bad) and len(self.nodes) > 1

    def _plan(self, n: int) -> list[int]:
        of = rounds.count(n)
        kind, _, number = self.options.pairs.partition(":")
        if kind == "sample":
            return rounds.sample(n, int(number), self.options.seed)
        left = self.options.time_budget * 0.8 - rounds.seconds(n, per_round=0)
        if kind == "full" or left / self.options.per_round() >= of:
            return list(range(of))
        # All pairs for a shorter time tell more than some pairs for a longer one, down to where noise wins.
        self.options.shorten(left / of)
        fit = int(left / self.options.per_round())
        budget = f"the time budget of {self.options.time_budget:g} s"
        self.out.notes.append(f"phases of {self.options.ms} ms, to fit {budget}")
        if fit >= of:
            return list(range(of))
        self.out.notes.append(f"{max(fit, 1)} of {of} rounds fit {budget}")
        return rounds.sample(n, max(fit, 1), self.options.seed)

    def _until_done(self, todo: list[tuple[str, str]], planned: list[int] | None, *, number: int = 1) -> None:
        hub = 0
        for launch in range(LAUNCHES):
            schedule = self._schedule(todo, planned if launch == 0 else None)
            collector = self._launch([*schedule, f"hub={hub}"])
            names = Names(self.nodes, self.hosts, self.options.per_node, collector)
            died = set(self.out.died)
            lost = names.add_to(self.out, number)
            left = self._left(todo, number)
            if number == 1 and launch == 0:
                self.out.rounds["done"] = len({e["r"] for e in collector.events["pair"]}) or self.out.rounds["done"]
            if not collector.events["rank"] or not collector.size:
                self._fail(collector)
                if set(self.out.died) - died and launch + 1 < LAUNCHES:
                    continue  # what killed one rank may not kill the next
                if collector.rc is None:  # nobody got past MPI_Init: of whom is there nothing left?
                    self.out.unstarted |= unstarted(self.files, self.launcher.one_daemon, self.hosts)
                return
            self.out.failure = {}
            alive = [node for node in self.nodes if node not in lost | self._stubborn()]
            # A rank that was killed for the first time may live in the next launch.
            better = len(left) < len(todo) or len(alive) < len(self.nodes) or bool(set(self.out.died) - died)
            if not left or not better or (launch and self._in_vain()) or time.monotonic() > self.end:
                if left and collector.rc != 0:
                    self._fail(collector)
                return
            self.out.notes.append(f"launched again for {len(left)} pairs: {names.why(lost)}")
            self.progress(self.out.notes[-1])
            todo, self.nodes = left, alive
            broken = {node for pair in self.out.hung for node in (pair["a"], pair["b"])}
            hub = next((i for i, node in enumerate(alive) if node not in broken), 0) * self.options.per_node

    def _in_vain(self) -> bool:
        """Whether no launch will do better, for everybody offers an address of everybody and no pair got on."""
        return not self.out.pairs and any(len(where) == len(self.hosts) for where in twins.find(self.out).values())

    def _stubborn(self) -> set[str]:
        """Return nodes that hung with two and worked with none: they would cost every launch that is left."""
        worked = {node for pair in self.out.pairs for node in (pair["a"], pair["b"])}
        hung = Counter(node for pair in self.out.hung for node in (pair["a"], pair["b"]))
        return {node for node, count in hung.items() if count > 1 and node not in worked}

    def _left(self, todo: Iterable[tuple[str, str]], number: int) -> list[tuple[str, str]]:
        done = {(p["a"], p["b"]) for p in self.out.pairs if p["pass"] == number}
        done |= {(p["a"], p["b"]) for p in self.out.hung}
        gone = {*self.out.silent, *self._stubborn()}
        return [
            (a, b) for a, b in todo
            if (a, b) not in done and (b, a) not in done and a not in gone and b not in gone
        ]  # fmt: skip

    def _schedule(self, todo: Sequence[tuple[str, str]], planned: Sequence[int] | None) -> list[str]:
        index = {node: i for i, node in enumerate(self.nodes)}
        if planned is not None:
            every = len(planned) == rounds.count(len(self.nodes))
            return ["rounds=all" if every else "rounds=" + ",".join(map(str, planned))]
        packed: list[list[Pair]] = list(rounds.pack((index[a], index[b]) for a, b in todo if a in index and b in index))
        text = ";".join(",".join(f"{a}-{b}" for a, b in group) for group in packed)
        if len(text) > _ARGUMENT:
            text = text[:_ARGUMENT].rpartition(";")[0]
            self.out.notes.append(f"only {text.count(';') + 1} of {len(packed)} remaining rounds were measured again")
        return ["pairs=" + text]

    def _launch(self, schedule: Sequence[str], patience: float = 0.0) -> Collector:
        left = patience or max(self.end - time.monotonic(), 5.0)
        hosts = [self.hosts[node] for node in self.nodes]
        collector = self.launcher.launch(hosts, schedule, left=left, start=min(left, self._start_patience()))
        self.out.command, self.out.talk = self.launcher.shown, collector.talk
        return collector

    def _fail(self, collector: Collector) -> None:
        failure = classify(collector.talk)
        if self.out.builds:
            node, why = next(iter(self.out.builds.items()))
            cause, remedy = unbuilt(why)
            failure = {
                "cause": f"the rank program could not be built: {cause}",
                "remedy": remedy,
                "text": f"{node}: {why}",
            }
        elif collector.rc is None and not collector.circling:
            failure["cause"] = f"the launch did not end in time ({failure['cause']})"
        self.out.failure = failure
