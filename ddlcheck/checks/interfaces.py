"""MPI and NCCL are told which interface to use, it is up, and no address lives on two nodes.

Left to themselves they may choose docker0, whose address is the same on every node, and hang.
"""

from __future__ import annotations

import json

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import read, read_all, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Wants

NCCL, MPI = "/etc/nccl.conf", "openmpi-mca-params.conf"
KEYS = ("btl_tcp_if_include", "oob_tcp_if_include")
TELLERS = ((NCCL, "interfaces", "NCCL_SOCKET_IFNAME"), (MPI, "openmpi", KEYS[0]))  # file, role, key
# Bridges and pairs that container and machine managers make, each with the same address on every node.
PRIVATE = ("docker", "virbr", "cni", "podman", "lxcbr", "lxdbr", "br-", "veth", "flannel", "cbr", "kube", "nerdctl")


def wants(intent: Intent) -> Wants:
    """Ask the kernel for addresses, and the files for what MPI and NCCL are told."""
    prefix = str(intent["openmpi_prefix"]).rstrip("/")
    return {
        "addresses": run("ip", "-j", "addr"),
        "nccl": read(NCCL),
        "mpi": read_all(f"{prefix}/etc/{MPI}", f"/etc/openmpi*/{MPI}", f"/usr/lib64/openmpi/etc/{MPI}"),
    }


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge the declared interface, and who is told of it."""
    links = _links(seen)
    name, address, told = str(intent["interfaces_fabric"]), str(intent["interfaces_fabric_address"]), _told(seen)
    link = links.get(name)
    verdict = Verdict(
        Status.FAIL, name, promised=f"{name} up {address}".rstrip(), remedy="inspect",
        evidence={"up": bool(link and link["up"]), "addresses": link["addresses"] if link else [], "told": told,
                  "links": sorted(links)[:64]}, declared={"fabric": name, "address": address},
    )  # fmt: skip
    if not name:
        return Verdict(Status.PASS, f"{len(links)} interfaces, none declared", evidence=verdict.evidence)
    wrong = next((key for key, value in told.items() if not _means(key, value, name, address)), "")
    missing = [where for where in TELLERS if where[2] not in told]
    if link is None:
        verdict.seen, verdict.cause = f"no {name}", f"there is no interface {name}: look at its driver and name"
    elif not link["up"]:
        verdict.seen, verdict.cause = f"{name} is down", f"{name} is down or has no carrier: look at cable and switch"
    elif address and address not in link["addresses"]:
        verdict.seen = f"{name} has {', '.join(link['addresses']) or 'no address'}"
        verdict.cause = f"{name} does not bear {address}: look at the node's network configuration"
    elif wrong:
        where, verdict.remedy = TELLERS[wrong in KEYS][:2]
        verdict.seen, verdict.cause = f"{wrong}={told[wrong]}", f"{where} says {wrong}={told[wrong]}, not {name}"
    elif missing:
        where, verdict.remedy, key = missing[0]
        verdict.seen, verdict.cause = f"{name} up, not told", f"{where} does not set {key}: it is left to chance"
    else:
        verdict.status, verdict.remedy, verdict.seen = Status.PASS, "", f"{name} up"
    return verdict


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Fail an address on two nodes, unless it is a manager's own and MPI is told to keep off; doubt an odd MTU."""
    homes: dict[str, dict[str, str]] = {}
    told = {}
    mtus: dict[int, list[str]] = {}
    for node, answers in seen.items():
        try:
            links = _links(answers)
        except NotSeen:
            continue  # its own verdict says so
        mtu = links.get(str(intents[node]["interfaces_fabric"]), {}).get("mtu")
        if isinstance(mtu, int):
            mtus.setdefault(mtu, []).append(node)
        told[node] = bool(intents[node]["interfaces_fabric"]) and KEYS[0] in _told(answers)
        for address, name in ((a, name) for name, link in links.items() for a in link["addresses"]):
            homes.setdefault(address, {})[node] = name
    out = _odd_mtus(mtus, intents)
    for address, where in homes.items():
        if len(where) > 1:
            names = sorted(set(where.values()))
            private = all(name.startswith(PRIVATE) for name in names)
            fine = private and all(told[node] for node in where)
            verdict = Verdict(
                Status.PASS if fine else Status.FAIL, f"{address} ({', '.join(names)}) on {len(where)} nodes",
                promised="every address on one node", nodes=list(where),
                evidence={"address": address, "interfaces": where, "told": fine},
            )  # fmt: skip
            if not fine:
                verdict.cause = f"{address} of {names[0]} lives on {' and '.join(list(where)[:3])}"
                verdict.cause += ", and MPI is not told to keep off it" * private
                verdict.remedy = "interfaces" if private else "inspect"
            out.append(verdict)
    return out


def _odd_mtus(mtus: Mapping[int, Sequence[str]], intents: Mapping[str, Intent]) -> list[Verdict]:
    """Doubt the nodes whose fabric interface has another MTU than most: large packets are lost or cut."""
    usual = max(mtus, key=lambda mtu: len(mtus[mtu]), default=0)
    tie = [len(nodes) for nodes in mtus.values()].count(len(mtus.get(usual, ()))) > 1
    return [
        Verdict(
            Status.WARN, f"MTU {mtu}", promised="one MTU everywhere", remedy="inspect", nodes=nodes,
            cause=f"{intents[nodes[0]]['interfaces_fabric']} of {', '.join(nodes[:3])} has MTU {mtu}, "
            + ("and the nodes do not agree" if tie else f"{len(mtus[usual])} others have {usual}"),
            evidence={"mtu": mtu, "usual": None if tie else usual},
        )
        for mtu, nodes in mtus.items() if len(mtus) > 1 and (tie or mtu != usual)
    ]  # fmt: skip


def _links(seen: Seen) -> dict[str, dict[str, Any]]:
    """Return ``{interface: {"up": bool, "addresses": [...]}}``; loopback and link-local addresses left out."""
    try:
        found = json.loads(seen["addresses"].need())
        out = {}
        for link in found:
            addresses = [str(a["local"]) for a in link.get("addr_info", []) if a.get("scope") == "global"]
            flags, state = link["flags"], link.get("operstate", "UNKNOWN")
            up = "UP" in flags and "NO-CARRIER" not in flags and state in ("UP", "UNKNOWN")
            if "LOOPBACK" not in flags:
                out[str(link["ifname"])] = {"up": up, "addresses": addresses, "mtu": link.get("mtu")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise NotSeen(f"ip -j addr printed an unknown form: {type(exc).__name__}") from exc
    if not out:
        raise NotSeen("ip -j addr printed no interface")
    return out


def _told(seen: Seen) -> dict[str, str]:
    """Return what MPI and NCCL are told; of two lines NCCL takes the first, Open MPI the last."""
    if seen["nccl"].why not in ("", "missing") or not isinstance(seen["mpi"].data, dict):
        raise NotSeen(f"{NCCL} or {MPI}: {seen['nccl'].why or seen['mpi'].why or 'an unknown form'}")
    text = "\n".join(str(seen["mpi"].data[path]) for path in sorted(seen["mpi"].data))
    out = {key: value for key, value in _pairs(text) if key in KEYS}
    out.update({key: value for key, value in reversed(_pairs(seen["nccl"].text)) if key == "NCCL_SOCKET_IFNAME"})
    return out


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition("#")[0].partition("=") for line in text.splitlines())
    return [(key.strip(), value.strip()) for key, equals, value in pairs if equals]


def _means(key: str, value: str, name: str, address: str) -> bool:
    """Whether a list of interfaces names this one; networks are compared by the declared address."""
    if key.startswith("NCCL"):
        exact, words = value.startswith("="), value.lstrip("=").split(",")  # without `=`, whatever begins so
        return any(name == word or (word and not exact and name.startswith(word)) for word in words)
    return any(word == name or ("/" in word and _within(address, word)) for word in value.split(","))


def _within(address: str, network: str) -> bool:
    import ipaddress  # noqa: PLC0415 - seldom needed, and slow to import

    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
