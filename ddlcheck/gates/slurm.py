"""Slurm: a health check that drains and resumes, a prolog and an epilog that refuse; run on the node, as root.

``HealthCheckProgram`` is where everything is decided, since it may talk to Slurm and its exit status means nothing:
it asks the node's gate, drains with a reason that names the promise, takes back what it drained itself, and nothing
else. Prolog and epilog may not run Slurm's commands, and a non-zero status of theirs drains the node: they ask the
gate, and believe the health check where that has marked a promise as suspect.
"""

from __future__ import annotations

import os
import syslog
import time

from ddlcheck.gates import breaker
from ddlcheck.gates import slurmkept as kept
from ddlcheck.gates.ask import LAUNCHER, Trouble, ask, look_again
from ddlcheck.gates.slurmctl import REFUSED, Slurm, SlurmError, State, neighbours
from ddlcheck.gates.slurmkept import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

#: Slurm kills a health check after 60 s: ours is done well before, the gate's part and Slurm's together.
GATE_SECONDS, ALL_SECONDS = 20.0, 45.0
#: What the background tier found may be as old as its interval: it is given so long for another look before anything
#: is changed, where the gate itself answered in less than the second.
LOOK_SECONDS, PROMPT_SECONDS = 10.0, 5.0
#: A batch job whose prolog takes longer than BatchStartTimeout (10 s) is taken for lost.
PROLOG_SECONDS = 7.0
#: Nodes that went down at the same moment have all said so by then; what is read afterwards is the whole.
SETTLE = 3.0
#: A refused job and slurmd's own drain for it are seconds apart; clocks of nodes and slurmctld may differ.
NEAR = 120.0


class Settings:
    """What was declared for this node."""

    def __init__(self, node: str, **more: Any) -> None:  # noqa: ANN401 - of `_settings`
        self.node = node
        self.share: float = more.get("share", 0.1)
        self.window: float = more.get("window", 3600.0)
        self.max_age: float = more.get("max_age", 600.0)
        self.drain: bool = more.get("drain", True)
        self.dry_run: bool = more.get("dry_run", False)
        self.launcher: str = more.get("launcher", LAUNCHER)
        self.state: str = more.get("state", "/run/ddlcheck")
        self.settle: float = more.get("settle", SETTLE)


class Node:
    """One run of the health check on one node."""

    def __init__(
        self, settings: Settings, slurm: Slurm, gate: Callable[[], list[Trouble]],
        look: Callable[[float], None] = lambda _seconds: None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.slurm = slurm
        self.gate = gate
        self.look = look
        self.record = kept.read(settings.state, "slurm")

    def check(self) -> int:
        """Judge, act, keep what was decided; return 0 where the node is ready, else 1."""
        troubles = self._confirmed()
        failing = {t.promise for t in troubles}
        # A promise that holds again is no longer suspect, and may take a node down the next time.
        suspect = {name: why for name, why in self._suspects().items() if name in failing}
        try:
            held = self._down(troubles, suspect) if troubles else self._up()
        except SlurmError as error:
            say(syslog.LOG_ERR, f"{self.settings.node}: {error}; nothing was changed")
            held = None
        for name, why in suspect.items():
            say(syslog.LOG_CRIT, f"{self.settings.node}: promise {name} is suspect, the node is kept in service: {why}")
        out = self.record.get("out", False) if held is None else held
        record = {"at": time.time(), "out": out, "suspect": suspect, "troubles": {t.promise: t.why for t in troubles}}
        if not self.settings.dry_run:
            kept.write(self.settings.state, "slurm", record)
        return 1 if troubles else 0

    def _confirmed(self) -> list[Trouble]:
        """Return the troubles; what is new is looked at twice, so that nothing drains for what has passed.

        What was there the last time is only looked at again behind our back: the next check will know sooner that it
        is mended than the background tier's own interval would tell.
        """
        begun = time.monotonic()
        troubles = self.gate()
        found = {trouble.promise for trouble in troubles}
        if not found - {breaker.GATE} or self.settings.dry_run:
            return troubles
        known = self.record.get("troubles")
        if found <= set(known if isinstance(known, dict) else ()):
            self.look(0.0)
        elif time.monotonic() - begun < PROMPT_SECONDS:
            self.look(LOOK_SECONDS)
            return self.gate()
        return troubles

    def _suspects(self) -> dict[str, str]:
        held = self.record.get("suspect")
        return {str(k): str(v) for k, v in held.items()} if isinstance(held, dict) else {}

    def _down(self, troubles: list[Trouble], suspect: dict[str, str]) -> bool:
        """Drain for what may be drained for; what trips the breaker is added to ``suspect``."""
        for trouble in troubles:
            say(syslog.LOG_WARNING, f"{self.settings.node}: not ready: {trouble}")
        if not self.settings.drain:
            return False
        nodes = self.slurm.nodes()
        mine = self._mine(nodes)
        if mine.reason and not mine.ours and not self._refused(mine):
            say(syslog.LOG_NOTICE, f"{mine.node}: left alone, {mine.user} has it {mine.state}: {mine.reason}")
            return False
        downs, sizes = neighbours(mine.node, nodes)
        rule = {"share": self.settings.share, "window": self.settings.window, "now": time.time()}
        out = mine.ours and mine.drained
        standing = breaker.promises(mine.reason) if out else ()
        going = []
        for trouble in troubles:
            if trouble.promise in suspect:
                continue
            why = "" if trouble.promise in standing else breaker.tripped(trouble.promise, downs, sizes, **rule)
            if why:
                suspect[trouble.promise] = why
            else:
                going.append(trouble)
        return self._go(mine, going, suspect)

    def _go(self, mine: State, going: list[Trouble], suspect: dict[str, str]) -> bool:
        """Bring what Slurm has in line with what is to be drained for; return whether the node is out by us."""
        names = [trouble.promise for trouble in going]
        out = mine.drained and (mine.ours or self._refused(mine))
        if not going:
            # It went for a promise that is suspect by now, or holds again while another, suspect one does not.
            if out:
                self._back(mine.node, "what is left is suspect")
            return False
        if not out or set(breaker.promises(mine.reason)) != set(names):  # also where slurmd drained for our prolog
            # The reason is asked for once more: between two looks an administrator may have had a reason of his own.
            now = self.slurm.node(mine.node)
            if now.reason and not now.ours and not self._refused(now):
                return False
            self.slurm.drain(mine.node, breaker.reason(names, going[0].why))
            say(syslog.LOG_WARNING, f"{mine.node}: drained for {', '.join(names)}")
        return self._settled(mine.node, going, suspect)

    def _settled(self, node: str, going: list[Trouble], suspect: dict[str, str]) -> bool:
        """Look again when all who went at the same moment have said so, and come back where we are too many."""
        if self.settings.dry_run:
            return False
        time.sleep(self.settings.settle)
        nodes = self.slurm.nodes()
        mine = self._mine(nodes)
        downs, sizes = neighbours(node, nodes)
        me = breaker.Down(node, breaker.promises(mine.reason), mine.since)
        rule = {"share": self.settings.share, "window": self.settings.window, "now": time.time()}
        left = []
        for trouble in going:
            why = breaker.surplus(me, trouble.promise, downs, sizes, **rule)
            if why:
                suspect[trouble.promise] = why
            else:
                left.append(trouble)
        if left or not mine.ours:
            return mine.ours
        self._back(node, f"{', '.join(t.promise for t in going)}: suspect")
        return False

    def _up(self) -> bool:
        """Take back what is ours, after one more look at the node; nothing is asked of Slurm where nothing is out."""
        refused = kept.read(self.settings.state, "refused")
        if not self.settings.drain or (self.record.get("out") is False and not refused):
            return False
        mine = self.slurm.node(self.settings.node)
        if not (mine.ours or self._refused(mine)) or not mine.drained:
            kept.forget(self.settings.state, "refused")
            return False
        self.look(LOOK_SECONDS)
        again = self.gate()
        if again:
            say(syslog.LOG_WARNING, f"{mine.node}: stays out, the second look says {again[0]}")
            return True
        mine = self.slurm.node(self.settings.node)
        if mine.drained and (mine.ours or self._refused(mine)):
            self._back(mine.node, "every promise holds")
        return False

    def _back(self, node: str, why: str) -> None:
        self.slurm.resume(node)
        if not self.settings.dry_run:
            kept.forget(self.settings.state, "refused")
        say(syslog.LOG_NOTICE, f"{node}: back in service, {why}")

    def _mine(self, nodes: dict[str, State]) -> State:
        if self.settings.node not in nodes:
            raise SlurmError(f"Slurm knows no node {self.settings.node}")
        return nodes[self.settings.node]

    def _refused(self, state: State) -> bool:
        """Whether a drain that slurmd made is for a prolog or epilog of ours that refused."""
        at = kept.read(self.settings.state, "refused").get("at")
        return state.reason in REFUSED and isinstance(at, (int, float)) and abs(state.since - at) < NEAR


def script(settings: Settings, kind: str, gate: Callable[[], list[Trouble]]) -> int:
    """Run as prolog or epilog: 0 lets the job in (or out), 1 makes Slurm drain the node and requeue the job."""
    troubles = gate()
    record = kept.read(settings.state, "slurm")
    fresh = 0 <= time.time() - float(record.get("at", 0.0)) <= settings.max_age
    suspect = record.get("suspect") if fresh else {}
    stopping = [t for t in troubles if t.promise == breaker.GATE or t.promise not in (suspect or {})]
    for trouble in troubles:
        held = "" if trouble in stopping else " (suspect: the job is let through)"
        say(syslog.LOG_WARNING, f"{settings.node}: {kind}: {trouble}{held}")
    if not stopping or not settings.drain:
        return 0
    if settings.dry_run:
        print(f"would refuse: {'; '.join(map(str, stopping))}")  # noqa: T201 - its purpose
        return 0
    kept.write(settings.state, "refused", {"at": time.time(), "by": kind, "why": [str(t) for t in stopping]})
    return 1


_NUMBERS = ("share", "window", "max_age", "settle")
_WORDS = ("node", "launcher", "state")


def _settings(words: Sequence[str], *, anywhere: bool) -> Settings:
    """Read ``--name value`` pairs and two flags; a script that role health_gate wrote says them."""
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        name = rest.pop(0).replace("--", "", 1).replace("-", "_")
        if name in ("dry_run", "no_drain"):
            found["dry_run" if name == "dry_run" else "drain"] = name == "dry_run"
        elif name in _NUMBERS and rest:
            found[name] = float(rest.pop(0))
        elif name in _WORDS and rest:
            found[name] = rest.pop(0)
        else:
            raise ValueError(f"{name!r} is no word of ours, or lacks its value")
    # Only newer versions tell a health check which node it is on; where they do, they know best.
    found["node"] = os.environ.get("SLURMD_NODENAME") or found.get("node", "")
    if not found["node"] and not anywhere:
        raise ValueError("neither SLURMD_NODENAME nor --node says which node this is")
    return Settings(**found)


def main(words: Sequence[str]) -> int:
    """Run ``health``, ``prolog``, ``epilog`` or ``advise``; 2 for words that cannot be meant."""
    kind = words[0] if words else ""
    if kind not in ("health", "prolog", "epilog", "advise"):
        print(f"one of health, prolog, epilog and advise, not {kind!r}")  # noqa: T201
        return 2
    try:
        settings = _settings(words[1:], anywhere=kind == "advise")
    except ValueError as error:
        print(f"{kind}: {error}")  # noqa: T201
        return 2
    if kind == "advise":
        return _advise(settings)
    syslog.openlog("ddlcheck", syslog.LOG_PID, syslog.LOG_DAEMON)
    if kind == "health":
        status = _check(settings)
    else:
        status = script(settings, kind, lambda: ask(settings.launcher, PROLOG_SECONDS))
    # The scripts believe a status only with this line: a Python that crashes ends with 1, an empty file with 0.
    print(f"ddlcheck slurm {kind} {status}")  # noqa: T201
    return status


def _check(settings: Settings) -> int:
    """Run the health check, unless one still runs: what that saw first must not have the last word."""
    slurm = Slurm(time.monotonic() + ALL_SECONDS, dry_run=settings.dry_run)
    with kept.alone(settings.state) as free:
        if not free:
            say(syslog.LOG_WARNING, f"{settings.node}: the last health check still runs; this one is left out")
            return 1
        return Node(settings, slurm, lambda: ask(settings.launcher, GATE_SECONDS), look_again).check()


def _advise(settings: Settings) -> int:
    """Say what Slurm's configuration lacks, a sentence a line; 1 where it lacks something, 3 where Slurm is silent."""
    from ddlcheck.gates import slurmconf  # noqa: PLC0415 - no health check needs it

    try:
        config = Slurm(time.monotonic() + ALL_SECONDS).config()
    except SlurmError as error:
        print(error)  # noqa: T201
        return 3
    lacking = slurmconf.advise(config, max_age=settings.max_age)
    print("\n".join(lacking) or "Slurm has all that the gate needs")  # noqa: T201
    return 1 if lacking else 0
