"""MPI between every pair of nodes works over the declared transport, and none is slower than its peers.

Judged by what the fabric stage measured: nothing here launches anything.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Wants

    Part = Mapping[str, Any]
    Parts = Mapping[str, Part]

NO_ROLE = "cable, switch or adapter: inspect"
#: Floors of the site, 0 for none: MB/s (10^6 bytes) one way, and microseconds for half a round trip of 8 bytes.
#: ``rack`` tells which nodes are near each other; without it, groups that stand out are taken for racks.
DEFAULTS: dict[str, Any] = {"fabric_min_bandwidth": 0, "fabric_max_latency": 0, "rack": ""}

_PORTS = "/sys/class/infiniband/*/ports/*/state"
_PARAMS = ("/etc/openmpi*/openmpi-mca-params.conf", "/usr/lib64/openmpi/etc/openmpi-mca-params.conf")
def wants(intent: Intent) -> Wants:
    """Ask for the stage's measurement, and for what may have kept the bytes off the verbs device."""
    prefix = str(intent["openmpi_prefix"]).rstrip("/")
    return {
        "fabric": {"op": "fabric"},
        "ports": read_all(_PORTS),
        "params": read_all(*_PARAMS, f"{prefix}/etc/openmpi-mca-params.conf"),
    }


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge what one node shows by itself: that a rank ran on it, and what carried its bytes."""
    from ddlcheck import carriers  # noqa: PLC0415 - not needed by who only lists checks

    part = _part(seen)
    declared = str(intent["openmpi_transport"])
    if part["build"]:
        return Verdict(
            Status.FAIL, f"the rank program was not built: {part['build']}", promised="a compiler for MPI programs",
            cause="mpicc is missing on the node, or cannot write or compile", remedy="openmpi",
            evidence={"build": part["build"]},
        )  # fmt: skip
    if part["unstarted"]:
        return Verdict(
            Status.FAIL, "no daemon starts here, even alone", promised="a rank on every node",
            cause="the head cannot start Open MPI's daemon on the node, or it cannot call back (ssh, firewall, prefix)",
            remedy="ssh_mesh", evidence={"unstarted": True},
        )  # fmt: skip
    if part["silent"]:
        return Verdict(
            Status.FAIL, "stopped answering during the run", promised="a rank that answers",
            cause="the node or its rank hung in the middle of the run", remedy="inspect", evidence={"silent": True},
        )  # fmt: skip
    if part["rank"] is None:
        raise NotSeen(str(part["failure"].get("cause", "")) or "no rank reported from this node")
    carrier = carriers.of(part["counters"])
    evidence = {
        "host": part["rank"].get("host"), "mpi": part["rank"].get("mpi"),
        "carrier": carrier.kind if carrier else None, "device": carrier.device if carrier else None,
        "share": carrier.share if carrier else None,
    }  # fmt: skip
    verdict = Verdict(
        Status.PASS, f"bytes moved over {carrier}" if carrier else "a rank ran", promised=_promised(declared),
        evidence=evidence, declared={"openmpi_transport": declared},
    )  # fmt: skip
    if carrier is None:
        return verdict
    if carrier.kind in (carriers.SHARED, carriers.LOOPBACK):
        verdict.status, verdict.remedy = Status.UNKNOWN, "inspect"
        verdict.cause = "no network device counted the bytes: another node's name leads here, or it does not count"
    elif declared == carriers.VERBS and carrier.kind != carriers.VERBS:
        verdict.status = Status.FAIL
        verdict.cause, verdict.remedy = carriers.why_not_verbs(
            ports=_texts(seen, "ports"), params=_texts(seen, "params"),
            memlock=str(part["rank"].get("memlock_soft", "")), talk=str(part.get("talk", "")),
        )  # fmt: skip
    elif declared == carriers.TCP and carrier.kind != carriers.TCP:
        verdict.status, verdict.remedy = Status.FAIL, "inventory"
        verdict.cause = "tcp was declared, but the library chose another transport"
    return verdict


def _promised(transport: str) -> str:
    return "any transport" if transport == "any" else f"bytes over {transport}"


def _part(seen: Seen) -> Part:
    part = seen["fabric"].need_data()
    names = ("pairs", "hung", "silent", "unstarted", "build", "rank", "counters", "failure")
    if not isinstance(part, dict) or any(name not in part for name in names):
        raise NotSeen("the fabric stage left something of another form")
    return part


def _texts(seen: Seen, name: str) -> Mapping[str, str]:
    data = seen[name].data if name in seen else None
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else {}


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Judge the pairs: which hang, corrupt, or are slower than their peers."""
    parts = {node: _part(one) for node, one in seen.items()}
    nodes = list(parts)
    if len(nodes) < 2:  # noqa: PLR2004 - a pair
        return [Verdict(Status.SKIP, "one node: there is no pair", promised="pairs", nodes=nodes)]
    first = parts[nodes[0]]
    if not any(part["pairs"] for part in parts.values()) and not any(part["hung"] for part in parts.values()):
        return [_nothing(nodes, first)]
    out = [*_twins(parts), *_hung(parts), *_wrong(parts), *_missing(parts)]
    rails = sorted({pair["rail"] for part in parts.values() for pair in part["pairs"]})
    for rail in rails:
        out += _slow(parts, intents, rail, rails)
    return out


def _nothing(nodes: Sequence[str], first: Part) -> Verdict:
    failure = first["failure"] or {"cause": "no pair was measured", "remedy": "inspect", "text": ""}
    return Verdict(
        Status.FAIL, f"no pair could be measured: {failure.get('text') or 'no output'}"[:300],
        promised="MPI between every pair", cause=str(failure["cause"]), remedy=str(failure["remedy"]), nodes=nodes,
        evidence={"failure": failure, "talk": str(first.get("talk", ""))[-2000:], "command": first.get("command", [])},
    )  # fmt: skip


def _twins(parts: Parts) -> Iterator[Verdict]:
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


def _hung(parts: Parts) -> Iterator[Verdict]:
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


def _wrong(parts: Parts) -> Iterator[Verdict]:
    for part in parts.values():
        for pair in part["pairs"]:
            if pair["bad"]:
                yield Verdict(
                    Status.FAIL, f"{pair['bad']} messages between {pair['a']} and {pair['b']} arrived wrong",
                    promised="what was sent", nodes=(pair["a"], pair["b"]), remedy="inspect",
                    cause="bytes are damaged on the way: memory, adapter or an offload (checksums) of one of the two",
                    evidence={"wrong": pair["bad"], "first_byte": pair["at"], "pair": [pair["a"], pair["b"]]},
                )  # fmt: skip


def _missing(parts: Parts) -> Iterator[Verdict]:
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


def _slow(parts: Parts, intents: Mapping[str, Intent], rail: int, rails: Sequence[int]) -> list[Verdict]:
    # Not above: numpy costs more than judging a node.
    from ddlcheck import blame, outliers  # noqa: PLC0415
    from ddlcheck.matrix import from_pairs  # noqa: PLC0415

    racks = {node: str(intents[node]["rack"]) for node in parts if str(intents[node]["rack"])}
    pairs = [pair for part in parts.values() for pair in part["pairs"] if pair["rail"] == rail]
    matrix = from_pairs(list(parts), pairs, racks)
    findings = outliers.find(matrix)
    twice = {frozenset((pair["a"], pair["b"])) for pair in pairs if pair["pass"] > 1}
    out = [*blame.floors(matrix, _floors(intents)), *blame.judge(matrix, findings, twice=twice)]
    for verdict in out:
        if len(rails) > 1:
            verdict.seen = f"rail {rail}: {verdict.seen}"
            verdict.evidence["rail"] = rail
    rounds = parts[next(iter(parts))].get("rounds", {})
    out[-1].evidence["rounds"] = rounds
    return out


def _floors(intents: Mapping[str, Intent]) -> dict[str, dict[str, float]]:
    variables = {"bandwidth": "fabric_min_bandwidth", "latency": "fabric_max_latency"}
    return {
        metric: {node: float(intent[name] or 0) for node, intent in intents.items()}
        for metric, name in variables.items()
    }
