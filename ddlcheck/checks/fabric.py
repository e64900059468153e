"""MPI between every pair of nodes works over the declared transport, and none is slower than its peers.

Judged by what the fabric stage measured: nothing here launches anything.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import read_all, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.judging.carriers import Carrier
    from ddlcheck.wants import Wants

    Part = Mapping[str, Any]
    Parts = Mapping[str, Part]

#: Nothing of it can be seen from one node.
NODE_LOCAL = False
NO_ROLE = "cable, switch or adapter: inspect"
#: Floors of the site, 0 for none: MB/s (10^6 bytes) one way, and microseconds for half a round trip of 8 bytes.
#: Nodes of one rack are near each other; where no rack is declared, groups that stand out are taken for racks.
DEFAULTS: dict[str, Any] = {
    "fabric_min_bandwidth": 0,
    "fabric_max_latency": 0,
    "fabric_rack": "",
    # The nodes are machines on one host's cores, as in a practice cluster: ranks wait for cores as well as for
    # packets, so a slow pair is in doubt, not broken.
    "fabric_shared_cores": False,
}

#: A daemon without room for its files hangs, or fails with words that do not say so: it is tried.
_ROOM = (
    'for d in "${TMPDIR:-/tmp}" /dev/shm; do t=$(mktemp "$d/.ddlcheck.XXXXXX" 2>&1) || { echo "$d: $t"; continue; }; '
    'dd if=/dev/zero of="$t" bs=64k count=1 2>/dev/null || echo "$d: no room for 64 KiB"; rm -f "$t"; done; echo @end'
)
ALONE = "one node: no pair to judge"
_PORTS = "/sys/class/infiniband/*/ports/*/state"
_PARAMS = "openmpi-mca-params.conf"


def wants(intent: Intent) -> Wants:
    """Ask for the stage's measurement, and for what may have kept the bytes off the verbs device."""
    prefix = str(intent["openmpi_prefix"]).rstrip("/")
    # A package reads what is under /etc, an installation under a prefix of its own does not.
    packaged = (f"/etc/openmpi*/{_PARAMS}", f"/usr/lib64/openmpi/etc/{_PARAMS}") if prefix in ("", "/usr") else ()
    return {
        "fabric": {"op": "fabric"},
        "ports": read_all(_PORTS),
        "room": run("sh", "-c", _ROOM, user=str(intent["ssh_mesh_user"])),
        "params": read_all(*packaged, f"{prefix}/etc/{_PARAMS}"),
    }


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge what one node shows by itself: that a rank ran on it, and what carried its bytes."""
    from ddlcheck.judging import carriers  # noqa: PLC0415 - not needed by who only lists checks

    part = _part(seen)
    declared = str(intent["openmpi_transport"])
    if part.get("nodes") == 1:
        return Verdict(Status.SKIP, ALONE, promised="pairs")
    full = _no_room(seen)
    if full and (part["failure"] or part["unstarted"]):
        return Verdict(
            Status.FAIL, f"no room: {full}", promised="room for the files of a rank", remedy="inspect",
            cause=f"ranks have no room for their files: {full}", evidence={"room": full},
        )  # fmt: skip
    carrier = carriers.of(part["counters"])
    if carrier is None and declared == carriers.VERBS and (without := _without_port(seen)) is not None:
        return without
    if (gone := _gone(part)) is not None:
        return gone
    if part["rank"] is None:
        raise NotSeen(str(part["failure"].get("cause", "")) or "no rank reported from this node")
    evidence = {
        "host": part["rank"].get("host"), "mpi": part["rank"].get("mpi"),
        "carrier": carrier.kind if carrier else None, "device": carrier.device if carrier else None,
        "share": carrier.share if carrier else None,
    }  # fmt: skip
    verdict = Verdict(
        Status.PASS, f"bytes moved over {carrier}" if carrier else "a rank ran", promised=_promised(declared),
        evidence=evidence, declared={"openmpi_transport": declared},
    )  # fmt: skip
    _judge_carrier(verdict, carrier, seen, part)
    return verdict


def _judge_carrier(verdict: Verdict, carrier: Carrier | None, seen: Seen, part: Part) -> None:
    """Hold what carried the bytes against the transport that was declared."""
    from ddlcheck.judging import carriers  # noqa: PLC0415

    declared = str(verdict.declared["openmpi_transport"])
    if carrier is None:
        if declared in (carriers.VERBS, carriers.TCP):
            verdict.status, verdict.remedy = Status.UNKNOWN, "inspect"
            verdict.cause = "too little was sent to tell what carried it: no exchange of a mebibyte was counted"
    elif carrier.kind in (carriers.SHARED, carriers.LOOPBACK, carriers.UNSEEN):
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


def _without_port(seen: Seen) -> Verdict | None:
    """Judge a node that carried nothing: a port that is down is the nearest reason, whatever else went wrong."""
    from ddlcheck.judging import carriers  # noqa: PLC0415

    ports = seen.get("ports")
    cause = carriers.no_port(_texts(seen, "ports")) if ports is not None and isinstance(ports.data, dict) else ""
    return Verdict(
        Status.FAIL, "no port for verbs", promised=_promised(carriers.VERBS), cause=cause, remedy="inspect",
        evidence={"ports": _texts(seen, "ports")}, declared={"openmpi_transport": carriers.VERBS},
    ) if cause else None  # fmt: skip


def _gone(part: Part) -> Verdict | None:
    """Judge a node whose rank did not come, or did not stay."""
    if part["build"]:
        from ddlcheck.judging.builds import unbuilt  # noqa: PLC0415

        cause, remedy = unbuilt(part["build"])
        return Verdict(
            Status.FAIL, f"the rank program was not built: {part['build']}", promised="a compiler for MPI programs",
            cause=cause, remedy=remedy, evidence={"build": part["build"]},
        )  # fmt: skip
    if part["unstarted"]:
        why = part["unstarted"]
        said = ": ".join(["no daemon starts here, even alone", *([why["text"]] if why["text"] else [])])
        return Verdict(
            Status.FAIL, said, promised="a rank on every node", cause=why["cause"], remedy=why["remedy"],
            evidence={"unstarted": dict(why)},
        )  # fmt: skip
    if part.get("died"):
        return Verdict(
            Status.FAIL, f"its rank was ended by {part['died']}", promised="a rank that lives", remedy="inspect",
            cause="something on the node killed the rank: out of memory, a limit, or a hand",
            evidence={"died": part["died"]},
        )  # fmt: skip
    if part["silent"] and part.get("twins"):
        # It may as well have connected to itself: `judge_together` says so.
        where = ", ".join(f"{address} of {interface}" for address, interface in part["twins"].items())
        return Verdict(
            Status.UNKNOWN, "stopped answering during the run", promised="a rank that answers", remedy="interfaces",
            cause=f"an address of it lives on other nodes as well: {where}", evidence={"silent": True},
        )  # fmt: skip
    if part["silent"]:
        return Verdict(
            Status.FAIL, "stopped answering during the run", promised="a rank that answers",
            cause="the node or its rank hung in the middle of the run", remedy="inspect", evidence={"silent": True},
        )  # fmt: skip
    return None


def _no_room(seen: Seen) -> str:
    """Return what a file could not be written to; empty where that was not seen."""
    got = seen.get("room")
    lines = got.text.splitlines() if got is not None and not got.why else []
    return lines[0][:200] if lines[-1:] == ["@end"] and len(lines) > 1 else ""


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
    from ddlcheck.judging import device, pairs  # noqa: PLC0415

    parts = {node: _part(one) for node, one in seen.items()}
    nodes = list(parts)
    if len(nodes) < 2:  # noqa: PLR2004 - a pair
        return [Verdict(Status.SKIP, ALONE, promised="pairs", nodes=nodes)]
    if not any(part["pairs"] for part in parts.values()) and not any(part["hung"] for part in parts.values()):
        return list(pairs.versions(parts)) or _nothing(seen, parts)
    same = pairs.shared(parts)
    besides = [verdict.nodes for verdict in same]
    out = [*pairs.twins(parts), *pairs.names(parts), *pairs.versions(parts), *same]
    out += [*pairs.hung(parts, besides=besides), *pairs.wrong(parts), *pairs.missing(parts, besides=besides)]
    out += device.judge(parts, {node: bool(intent["openmpi_cuda"]) for node, intent in intents.items()})
    # Not above: numpy costs more than judging a node.
    from ddlcheck.judging import slow  # noqa: PLC0415

    return [*out, *slow.judge(parts, intents)]


def _nothing(seen: Mapping[str, Seen], parts: Parts) -> list[Verdict]:
    """Return the verdict on all nodes; where one is named as the cause, nothing is known of the others."""
    from ddlcheck.judging import pairs  # noqa: PLC0415

    nodes = list(parts)
    first = parts[nodes[0]]
    failure = first["failure"] or {"cause": "no pair was measured", "remedy": "inspect", "text": ""}
    evidence = {"failure": failure, "talk": str(first.get("talk", ""))[-2000:], "command": first.get("command", [])}
    said = f"no pair could be measured: {failure.get('text') or 'no output'}"[:300]
    gone = [_gone(part) for part in parts.values()]
    named = any(v is not None and v.status is Status.FAIL for v in gone) or any(_no_room(one) for one in seen.values())
    if not named and failure["remedy"] in ("inspect", "interfaces") and (same := pairs.shared(parts)):
        for verdict in same:
            verdict.seen, verdict.evidence = f"{verdict.seen}; {said}", {**verdict.evidence, **evidence}
        return same
    return [
        Verdict(
            Status.UNKNOWN if named else Status.FAIL, said, promised="MPI between every pair",
            cause=str(failure["cause"]), remedy=str(failure["remedy"]), nodes=nodes, evidence=evidence,
        )
    ]  # fmt: skip
