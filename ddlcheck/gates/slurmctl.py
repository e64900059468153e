"""What Slurm knows of its nodes, and the two changes that are made there: a node is drained, and comes back."""

from __future__ import annotations

import os
import subprocess
import time

from ddlcheck.errors import DdlcheckError
from ddlcheck.gates import breaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: slurmd gives neither its health check nor a prolog a PATH; a Slurm of one's own is often in one of the last.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/opt/slurm/sbin:/opt/slurm/bin"
#: One field an entry; the reason stands last, for it may hold anything.
_FORMAT = "%N|%R|%T|%H|%u|%E"
_FIELDS = 6
#: What slurmd writes where a script of ours (or of somebody else) ended with non-zero.
REFUSED = ("Prolog error", "Epilog error")


class SlurmError(DdlcheckError):
    """Slurm did not answer, or refused a change."""


class State:
    """A node as Slurm has it: ``state`` in sinfo's long form, ``reason`` empty where there is none."""

    __slots__ = ("node", "partitions", "reason", "since", "state", "user")

    def __init__(self, node: str, state: str, since: float, user: str, reason: str) -> None:
        self.node = node
        self.state = state
        self.since = since
        self.user = user
        self.reason = reason
        self.partitions: list[str] = []

    @property
    def drained(self) -> bool:
        """Whether no new job is given to it."""
        return self.state.startswith("drain")

    @property
    def down(self) -> bool:
        """Whether it is down: not answering, or taken down by hand."""
        return self.state.startswith(("down", "fail", "unk"))

    @property
    def ours(self) -> bool:
        """Whether its reason is one of ours."""
        return breaker.ours(self.reason)


class Slurm:
    """Slurm's commands with one deadline for all of them together, ``end`` on the monotonic clock."""

    def __init__(self, end: float, *, dry_run: bool = False) -> None:
        self._end = end
        self._dry_run = dry_run
        self._env = {**os.environ, "PATH": os.environ.get("PATH") or PATH, "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"}

    def _run(self, *argv: str) -> str:
        left = self._end - time.monotonic()
        if left <= 0:
            raise SlurmError(f"no time was left for {argv[0]}")
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=left, check=False, env=self._env,
            )  # fmt: skip
        except OSError as error:
            raise SlurmError(f"{argv[0]} does not start: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise SlurmError(f"{argv[0]} did not answer in time") from None
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise SlurmError(f"{' '.join(argv[:2])} ended with {done.returncode}: {said[:200]}")
        return done.stdout

    def node(self, name: str) -> State:
        """Return one node; raises `SlurmError` when Slurm does not know it."""
        found = read(self._run("sinfo", "-a", "-h", "-N", "-n", name, "-o", _FORMAT))
        if name not in found:
            raise SlurmError(f"Slurm knows no node {name}")
        return found[name]

    def nodes(self) -> dict[str, State]:
        """Return every node of the cluster: asked for only where something is wrong."""
        return read(self._run("sinfo", "-a", "-h", "-N", "-o", _FORMAT))

    def config(self) -> dict[str, str]:
        """Return what is in force, as slurmctld says."""
        lines = (line.partition("=") for line in self._run("scontrol", "show", "config").splitlines())
        return {key.strip(): value.strip() for key, equals, value in lines if equals}

    def drain(self, name: str, reason: str) -> None:
        """Give a node no further job; what runs there goes on."""
        self._change("scontrol", "update", f"NodeName={name}", "State=DRAIN", f"Reason={reason}")

    def resume(self, name: str) -> None:
        """Take a drain back."""
        # Not UNDRAIN: on 22.05 the node then counts as silent until the next ping.
        self._change("scontrol", "update", f"NodeName={name}", "State=RESUME")

    def _change(self, *argv: str) -> None:
        if self._dry_run:
            print(f"would run: {' '.join(argv)}")  # noqa: T201 - its purpose
            return
        self._run(*argv)


def read(text: str) -> dict[str, State]:
    """Read sinfo's lines: one for each node and partition; raises `SlurmError` on any other form."""
    out: dict[str, State] = {}
    for line in text.splitlines():
        fields = line.split("|", _FIELDS - 1)
        if len(fields) != _FIELDS:
            raise SlurmError(f"sinfo says what it should not: {line[:80]!r}")
        name, partition, state, since, user, reason = fields
        known = out.setdefault(name, State(name, state, _seconds(since), user, "" if reason == "none" else reason))
        known.partitions.append(partition)
    return out


def _seconds(text: str) -> float:
    """Return the moment of a reason; a node without one has none, and a form that is not known counts as now."""
    if text.isdigit():
        return float(text)
    return 0.0 if text in ("Unknown", "N/A", "None", "none", "") else time.time()


def neighbours(me: str, nodes: Mapping[str, State]) -> tuple[dict[str, list[breaker.Down]], dict[str, int]]:
    """Return, for each partition of a node, the other nodes that are out by us, and how many nodes it has."""
    mine = nodes[me].partitions if me in nodes else []
    downs: dict[str, list[breaker.Down]] = {name: [] for name in mine}
    sizes = dict.fromkeys(mine, 0)
    for one in nodes.values():
        for name in one.partitions:
            if name in sizes:
                sizes[name] += 1
                if one.node != me and one.ours and (one.drained or one.down):
                    downs[name].append(breaker.Down(one.node, breaker.promises(one.reason), one.since))
    return downs, sizes
