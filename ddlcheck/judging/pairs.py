"""Pairs that do not work at all: hung, damaged, not measured, or no pair. ``parts`` is each node's measurement."""

from __future__ import annotations

from ddlcheck.verdict import Status, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Parts = Mapping[str, Mapping[str, Any]]


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


def hung(parts: Parts) -> Iterator[Verdict]:
    """Pairs that did not get on; a node that gets on with nobody is named instead of its pairs."""
    silent = {node for node, part in parts.items() if part["silent"]}  # judged by themselves
    pairs = [p for part in parts.values() for p in part["hung"] if p["a"] not in silent and p["b"] not in silent]
    partners: dict[str, set[str]] = {}
    for pair in pairs:
        partners.setdefault(pair["a"], set()).add(pair["b"])
        partners.setdefault(pair["b"], set()).add(pair["a"])
    worked = {node for part in parts.values() for pair in part["pairs"] for node in (pair["a"], pair["b"])}
    dead = {node for node, those in partners.items() if len(those) > 1 and node not in worked}
    for node in sorted(dead):
        yield Verdict(
            Status.FAIL, f"hangs with all of its {len(partners[node])} partners", promised="MPI between every pair",
            nodes=(node,), remedy="inspect", evidence={"hung": sorted(partners[node])},
            cause="the node's MPI traffic does not pass: a firewall on it, its port, or the wrong interface offered",
        )  # fmt: skip
    for pair in pairs:
        if pair["a"] not in dead and pair["b"] not in dead:
            yield Verdict(
                Status.FAIL, f"{pair['a']} and {pair['b']} hang ({pair['during']})", promised="MPI between every pair",
                nodes=(pair["a"], pair["b"]), remedy="inspect", evidence={"hung": [pair]},
                cause="messages between the two do not pass, while both get on with others: a firewall rule or a route"
                if {pair["a"], pair["b"]} <= worked else "messages between the two do not pass",
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


def missing(parts: Parts) -> Iterator[Verdict]:
    """Judge pairs of which nothing is known, where all were to be measured."""
    rounds = next(iter(parts.values())).get("rounds", {})
    if rounds.get("planned") != rounds.get("of"):
        return
    known = {frozenset((p["a"], p["b"])) for part in parts.values() for p in (*part["pairs"], *part["hung"])}
    asked = [n for n, part in parts.items() if part["rank"] and not part["silent"] and not part["unstarted"]]
    pairs = [(a, b) for i, a in enumerate(asked) for b in asked[i + 1 :] if frozenset((a, b)) not in known]
    if pairs:
        yield Verdict(
            Status.UNKNOWN, f"{len(pairs)} pairs were not measured, {pairs[0][0]} and {pairs[0][1]} among them",
            promised="MPI between every pair", cause="the run ended before them", remedy="wait",
            nodes=list(dict.fromkeys(node for pair in pairs for node in pair)),
            evidence={"pairs": [list(pair) for pair in pairs[:64]]},
        )  # fmt: skip
