"""Pairs that do not work at all: hung, damaged, not measured, or no pair. ``parts`` is each node's measurement."""

from __future__ import annotations

from collections import Counter

from ddlcheck.verdict import Status, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import Any

    Parts = Mapping[str, Mapping[str, Any]]


#: The phases in which messages are larger than a packet, and what it means if only these hang.
_BULK = ("one way", "both ways")
_LARGE = "small messages pass and large ones do not: an MTU that not every port on the way has, or packets lost in bulk"


def twins(parts: Parts) -> Iterator[Verdict]:
    """Two names, one network stack: their pair measures memory."""
    by: dict[str, list[str]] = {}
    for node, part in parts.items():
        if part["rank"] and part["rank"].get("stack"):
            by.setdefault(str(part["rank"]["stack"]), []).append(node)
    for same in by.values():
        if len(same) > 1:
            yield Verdict(
                Status.FAIL, "one node under several names", promised="a node each", nodes=same, remedy="inventory",
                cause="these names lead to the same machine: what was measured between them never left it",
                evidence={"host": parts[same[0]]["rank"].get("host"), "names": same},
            )  # fmt: skip


def shared(parts: Parts) -> list[Verdict]:
    """Judge addresses that several nodes offer, where something went wrong with a node that bears one.

    Nothing was measured between two of its bearers (`ddlcheck.fabric.twins`): a peer that connects to such an
    address reaches itself, and what it looks like is a pair, a node or a whole launch that hangs.
    """
    by: dict[str, dict[str, str]] = {}
    for node, part in parts.items():
        for address, interface in (part.get("twins") or {}).items():
            by.setdefault(str(address), {})[node] = str(interface)
    hung = {node for part in parts.values() for pair in part["hung"] for node in (pair["a"], pair["b"])}
    bad = {node for node, part in parts.items() if part["silent"] or part["failure"] or node in hung}
    return [
        Verdict(
            Status.FAIL, f"{address} of {' and '.join(dict.fromkeys(where.values()))} lives on {len(where)} nodes",
            promised="an address of its own", nodes=where, remedy="interfaces",
            cause="MPI may offer it, and it leads a peer to itself: name the interface to use",
            evidence={"address": address, "interfaces": where},
        )
        for address, where in by.items()
        if len(where) > 1 and bad & set(where)
    ]  # fmt: skip


def hung(parts: Parts, *, besides: Sequence[Collection[str]] = ()) -> Iterator[Verdict]:
    """Judge pairs that did not get on: a node that gets on with nobody is named instead of its pairs.

    ``besides``: nodes that share an address; what happens among them needs no other explanation.
    """
    silent = {node for node, part in parts.items() if part["silent"]}  # judged by themselves
    pairs = [
        p for part in parts.values() for p in part["hung"]
        if p["a"] not in silent and p["b"] not in silent and not _within(p["a"], p["b"], besides)
    ]  # fmt: skip
    partners: dict[str, set[str]] = {}
    for pair in pairs:
        partners.setdefault(pair["a"], set()).add(pair["b"])
        partners.setdefault(pair["b"], set()).add(pair["a"])
    worked = _worked(parts)
    dead = {node for node, those in partners.items() if len(those) > 1 and node not in worked}
    for node in sorted(dead):
        bulk = all(p["during"] in _BULK for p in pairs if node in (p["a"], p["b"]))
        yield Verdict(
            Status.FAIL, f"hangs with all of its {len(partners[node])} partners", promised="MPI between every pair",
            nodes=(node,), remedy="inspect",
            evidence={"hung": sorted(partners[node]), "during": sorted({p["during"] for p in pairs})},
            cause=_LARGE if bulk
            else "the node's MPI traffic does not pass: a firewall on it, its port, or the wrong interface offered",
        )  # fmt: skip
    for pair in pairs:
        if pair["a"] not in dead and pair["b"] not in dead:
            yield Verdict(
                Status.FAIL, f"{pair['a']} and {pair['b']} hang ({pair['during']})", promised="MPI between every pair",
                nodes=(pair["a"], pair["b"]), remedy="inspect", evidence={"hung": [pair]},
                cause=_why(pair, {pair["a"], pair["b"]} <= worked),
            )  # fmt: skip


def _within(a: str, b: str, groups: Sequence[Collection[str]]) -> bool:
    return any(a in group and b in group for group in groups)


def _worked(parts: Parts) -> set[str]:
    return {node for part in parts.values() for pair in part["pairs"] for node in (pair["a"], pair["b"])}


def _why(pair: Mapping[str, Any], others: bool) -> str:  # noqa: FBT001 - whether both get on with others
    if pair["during"] in _BULK:
        return _LARGE
    if others:
        return "messages between the two do not pass, while both get on with others: a firewall rule or a route"
    return "messages between the two do not pass"


def versions(parts: Parts) -> Iterator[Verdict]:
    """Compare the MPI libraries that ranks say they run: one that differs may work today, and corrupt tomorrow."""
    by: dict[str, list[str]] = {}
    for node, part in parts.items():
        if library := part.get("library"):
            by.setdefault(str(library), []).append(node)
    if len(by) < 2:  # noqa: PLR2004 - all alike
        return
    usual = max(by, key=lambda text: len(by[text]))
    for text, nodes in by.items():
        if text != usual or 2 * len(by[usual]) <= sum(map(len, by.values())):
            yield Verdict(
                Status.FAIL, f"ranks run {text}", promised="one MPI everywhere", nodes=nodes, remedy="openmpi",
                cause=f"the nodes run different versions of MPI: the others run {usual}" if text != usual
                else "the nodes run different versions of MPI",
                evidence={"mpi": text, "usual": usual},
            )  # fmt: skip


def names(parts: Parts) -> Iterator[Verdict]:
    """Compare the names that machines answer to: where two are alike, a rank file means either."""
    by: dict[str, dict[str, str]] = {}
    for node, part in parts.items():
        if part["rank"] and part["rank"].get("host"):
            by.setdefault(str(part["rank"]["host"]), {})[node] = str(part["rank"].get("stack"))
    for host, stacks in by.items():
        if len(set(stacks.values())) > 1:
            yield Verdict(
                Status.FAIL, f"{len(stacks)} nodes answer to the name {host}", promised="a name of its own",
                cause="these are different machines with one host name", remedy="hostname", nodes=stacks,
                evidence={"host": host, "nodes": list(stacks)},
            )  # fmt: skip


def wrong(parts: Parts) -> Iterator[Verdict]:
    """Judge contents: every message was compared with what had been sent."""
    for part in parts.values():
        for pair in part["pairs"]:
            if pair["bad"]:
                yield Verdict(
                    Status.FAIL, f"{pair['bad']} messages between {pair['a']} and {pair['b']} arrived wrong",
                    promised="what was sent", nodes=(pair["a"], pair["b"]), remedy="inspect",
                    cause="bytes are damaged on the way: memory, adapter or an offload (checksums) of one of the two",
                    evidence={"wrong": pair["bad"], "first_byte": pair["at"], "pair": [pair["a"], pair["b"]]},
                )  # fmt: skip


def missing(parts: Parts, *, besides: Sequence[Collection[str]] = ()) -> Iterator[Verdict]:
    """Judge pairs of which nothing is known, where all were to be measured; ``besides`` as in `hung`."""
    rounds = next(iter(parts.values())).get("rounds", {})
    if rounds.get("planned") != rounds.get("of"):
        return
    known = {frozenset((p["a"], p["b"])) for part in parts.values() for p in (*part["pairs"], *part["hung"])}
    # One that hung with two, and worked with none, is judged by itself.
    hung = Counter(node for part in parts.values() for pair in part["hung"] for node in (pair["a"], pair["b"]))
    dead = {node for node, count in hung.items() if count > 1} - _worked(parts)
    asked = [
        n for n, part in parts.items()
        if part["rank"] and not part["silent"] and not part["unstarted"] and n not in dead
    ]  # fmt: skip
    pairs = [
        (a, b) for i, a in enumerate(asked) for b in asked[i + 1 :]
        if frozenset((a, b)) not in known and not _within(a, b, besides)
    ]  # fmt: skip
    if pairs:
        yield Verdict(
            Status.UNKNOWN, f"{len(pairs)} pairs were not measured, {pairs[0][0]} and {pairs[0][1]} among them",
            promised="MPI between every pair", cause="the run ended before them", remedy="wait",
            nodes=list(dict.fromkeys(node for pair in pairs for node in pair)),
            evidence={"pairs": [list(pair) for pair in pairs[:64]]},
        )  # fmt: skip
