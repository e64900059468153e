"""From ranks' numbers to nodes' names, and from one launch's events into the measurement."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.fabric import Measurement
    from ddlcheck.fabric.stream import Collector, Event


#: How many times the processor time of a rank that was stopped has one that polls.
_STILL = 8


class Names:
    """Which node a rank runs on: by the host name it says, or else by its place in the host file."""

    def __init__(self, nodes: Sequence[str], hosts: Mapping[str, str], per_node: int, collector: Collector) -> None:
        self.place = {node: i for i, node in enumerate(nodes)}
        self.per_node = per_node
        self.collector = collector
        self.note = ""
        events = collector.events
        said = {e["rank"] // per_node: e["host"] for kind in ("built", "build", "born", "rank") for e in events[kind]}
        known: dict[str, str] = {}
        for node in nodes:
            for name in (node, hosts[node]):
                known[name] = known[name.partition(".")[0]] = node
        by_name = {i: known.get(host) or known.get(host.partition(".")[0]) for i, host in said.items()}
        if said and None not in by_name.values() and len(set(by_name.values())) == len(said):
            self.order = {i: str(node) for i, node in by_name.items()}
        else:
            self.order = dict(enumerate(nodes))
            self.note = "hosts do not answer to their names in the host list: ranks are named by their order in it"

    def of(self, rank: int) -> str | None:
        """Return a rank's node; None for a number that no rank has."""
        return self.order.get(rank // self.per_node) if rank >= 0 else None

    def _pair(self, event: Event) -> tuple[str, str] | None:
        a, b = self.of(event["a"]), self.of(event["b"])
        if a is None or b is None or a == b:
            return None
        return (a, b) if self.place[a] < self.place[b] else (b, a)

    def add_to(self, out: Measurement, number: int) -> set[str]:
        """Add a launch's events; return the nodes whose daemon or rank stopped answering."""
        events = self.collector.events
        if self.note and events["rank"] and self.note not in out.notes:
            out.notes.append(self.note)
        for event in events["build"]:
            if node := self.of(event["rank"]):
                out.builds[node] = event["why"]
        self._facts(out)
        for event in events["pair"]:
            if pair := self._pair(event):
                turned = pair[0] != self.of(event["a"])
                out.pairs.append(_record(event, pair, number, event["a"] % self.per_node, turned=turned))
        self._counters(out)
        self._hung(out)
        died = self._died()
        # Who was killed once may live the next time; who was killed twice would cost every launch that is left.
        again = set(died) & set(out.died)
        out.died |= died
        silent = {node for e in events["silent"] if (node := self.of(e["rank"]))} | self._mute()
        lost = (silent - set(died)) | again
        out.silent.extend(sorted(lost - set(out.silent)))
        if self.collector.dropped:
            out.notes.append(f"{self.collector.dropped} lines from ranks could not be read")
        return lost

    def _facts(self, out: Measurement) -> None:
        for event in [*self.collector.events["born"], *self.collector.events["rank"]]:
            if node := self.of(event["rank"]):
                facts = {k: v for k, v in event.items() if k not in ("t", "rank", "size")}
                out.ranks.setdefault(node, {}).update(facts)
        for event in self.collector.events["links"]:
            if node := self.of(event["rank"]):
                facts = {"links": event["links"], "addresses": event["addresses"]}
                out.ranks.setdefault(node, {}).update(facts)
        for event in self.collector.events["built"]:
            if node := self.of(event["rank"]):
                out.libraries[node] = event["mpi"]

    def _counters(self, out: Measurement) -> None:
        by_node: dict[str, list[Event]] = {}
        for event in self.collector.events["count"]:
            if node := self.of(event["rank"]):
                by_node.setdefault(node, []).append(event)
        for node, events in by_node.items():
            _add_counters(out.counters.setdefault(node, {}), events)

    def _hung(self, out: Measurement) -> None:
        for event in self._broken():
            pair, by = self._pair(event), self.of(event["rank"])
            if pair is None or by is None:
                continue
            known = next((h for h in out.hung if {h["a"], h["b"]} == set(pair)), None)
            if known is None:
                known = {"a": pair[0], "b": pair[1], "during": event["during"], "by": []}
                out.hung.append(known)
            if by not in known["by"]:
                known["by"].append(by)

    def _died(self) -> dict[str, str]:
        """Return the nodes with a rank that a signal ended, and which."""
        return {node: signal for rank, signal in self.collector.killed() if (node := self.of(rank))}

    def _broken(self) -> list[Event]:
        """Return what names a pair; a rank that was told to end was only near it.

        Of a pair with a rank that was stopped or killed, the pair is not to blame.
        """
        dead = {rank for rank, _ in self.collector.killed()}
        stopped = self._held() | dead
        stuck = [
            e for e in self.collector.events["stuck"] if e["how"] in ("late", "quit") and not {e["a"], e["b"]} & stopped
        ]
        return [*(e for e in self.collector.events["hang"] if not {e["a"], e["b"]} & dead), *stuck]

    def _held(self) -> set[int]:
        """Return ranks that were stopped: they say so, or their partner polled and they had no processor at all.

        A stopped rank has its last word all the same, when its daemon lets it go on to end it.
        """
        out = {e["rank"] for e in self.collector.events["stuck"] if e["how"] == "held"}
        late = {e["rank"]: e for e in self.collector.events["stuck"] if e["how"] == "late" and "cpu" in e}
        for rank, event in late.items():
            other = late.get(event["b"] if rank == event["a"] else event["a"])
            if other is not None and other is not event and _STILL * max(event["cpu"], 10) < other["cpu"]:
                out.add(rank)
        return out

    def _mute(self) -> set[str]:
        """Return nodes that a pair was broken with, and that said nothing of it, nor anything at the end."""
        events = self.collector.events
        spoke = {self.of(e["rank"]) for kind in ("hang", "stuck", "bye") for e in events[kind]}
        named = {node for e in self._broken() for node in (self.of(e["a"]), self.of(e["b"])) if node}
        return {node for node in named if node not in spoke} | {node for r in self._held() if (node := self.of(r))}

    def why(self, lost: set[str]) -> str:
        """Return in a few words what a launch died of."""
        if lost:
            return "no word from " + ", ".join(sorted(lost))
        if died := self._died():
            return f"a rank on {', '.join(sorted(died))} was killed"
        stuck = [pair for e in self._broken() if (pair := self._pair(e))]
        return f"{stuck[0][0]} and {stuck[0][1]} did not get on" if stuck else "it ended early"


def _record(event: Event, pair: tuple[str, str], number: int, rail: int, *, turned: bool) -> dict[str, Any]:
    step = -1 if turned else 1
    bandwidths = [
        dict(zip(("size", "ab", "ba", "both"), (x["size"], *(x["ab"], x["ba"])[::step], x["both"]), strict=True))
        for x in event["bw"]
    ]
    return {
        "a": pair[0], "b": pair[1], "rail": rail, "round": event["r"], "pass": number,
        "lat": event["lat"], "bw": bandwidths, "bad": event["bad"], "at": event["at"], "via": event["via"][::step],
    }  # fmt: skip


def _add_counters(out: dict[str, Any], events: Sequence[Event]) -> None:
    """Add one node's counters of one launch, which ranks say again and again as sums from its start.

    Several ranks of a node saw the same devices: the largest sum holds the others' traffic, and payloads add up.
    """
    payload: dict[tuple[str, int], int] = {}
    moved: dict[tuple[str, str], list[int]] = {}
    for event in events:
        phase = event["phase"]
        payload[phase, event["rank"]] = max(payload.get((phase, event["rank"]), 0), event["payload"])
        for device, both in event["moved"].items():
            old = moved.get((phase, device), [0, 0])
            moved[phase, device] = [max(x, y) for x, y in zip(old, both, strict=True)]
    for (phase, _), count in payload.items():
        out.setdefault(phase, {"payload": 0, "moved": {}})["payload"] += count
    for (phase, device), both in moved.items():
        total = out[phase]["moved"].setdefault(device, [0, 0])
        out[phase]["moved"][device] = [x + y for x, y in zip(total, both, strict=True)]
