"""A node's host name is the name that the inventory and rank files call it by.

Open MPI compares names as text: a node that answers to another name is not in the allocation.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import read, read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Wants

STATIC = "/etc/hostname"
_LONGEST = 253  # RFC 1035


def wants(intent: Intent) -> Wants:  # noqa: ARG001 - the Protocol's
    """Ask the kernel for the running name, the file for the one after the next boot."""
    return {
        "kernel": read("/proc/sys/kernel/hostname"),
        "static": read(STATIC),
        "cloud": read_all("/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg", "/etc/cloud/cloud-init.disabled"),
    }


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Compare the running and the static name with the declared one."""
    wanted = intent.hostname
    running = _name(seen["kernel"].need())
    static = "" if seen["static"].why == "missing" else _name(seen["static"].need(), empty=True)
    renamer = _renamer(seen["cloud"].data)
    verdict = Verdict(
        Status.FAIL, running, promised=wanted, remedy="hostname",
        evidence={"kernel": running, "static": static, "cloud_init": renamer},
        declared={"hostname": wanted, "policy": str(intent["hostname_policy"])},
    )  # fmt: skip
    right = _same(running, wanted), _same(static, wanted)
    if right == (True, True):
        verdict.status, verdict.remedy = Status.PASS, ""
        if renamer:
            verdict.status, verdict.remedy = Status.WARN, "hostname"
            verdict.cause = f"{renamer} does not say preserve_hostname: cloud-init may rename the node at its next boot"
    elif right[0]:
        verdict.seen = f"{running}, but {static or 'no name'} after the next boot"
        verdict.cause = f"{STATIC} holds {static}" if static else f"{STATIC} holds no name"
    elif right[1]:
        verdict.cause = f"the running (transient) name differs from {STATIC}: DHCP or hostnamectl --transient set it"
    else:
        verdict.cause = _misnamed(running, intent)
    return verdict


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Fail nodes that bear one name."""
    bearers: dict[str, list[str]] = {}
    for node, answers in seen.items():
        got = answers["kernel"]
        name = got.text.strip().partition(".")[0]
        if not got.why and name:
            bearers.setdefault(name, []).append(node)
    return [
        Verdict(
            Status.FAIL, f"{len(nodes)} nodes are called {name}", promised="a name of its own for every node",
            cause=f"{' and '.join(nodes[:4])} all answer to {name}: the name of an image, or of a copied node",
            remedy="hostname", evidence={"kernel": name, "nodes": nodes},
            declared={"hostname": {node: intents[node].hostname for node in nodes}}, nodes=nodes,
        )
        for name, nodes in bearers.items() if len(nodes) > 1
    ]  # fmt: skip


def _name(text: str, *, empty: bool = False) -> str:
    """Return the first line that is not a comment; raise `NotSeen` when it is no host name."""
    lines = [line.strip() for line in text.splitlines()]
    name = next((line for line in lines if line and not line.startswith("#")), "")
    if not name and empty:
        return ""
    plain = name.replace("-", "").replace(".", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(name) <= _LONGEST):
        raise NotSeen(f"{name[:40]!r} is no host name")
    return name


def _same(name: str, wanted: str) -> bool:
    """Whether Open MPI would take one for the other: a name and its qualified form are the same."""
    if "." in name and "." in wanted:
        return name == wanted
    return bool(name) and name.partition(".")[0] == wanted.partition(".")[0]


def _renamer(data: object) -> str:
    """Return the cloud-init file to change, when cloud-init is there and may rename the node."""
    if not isinstance(data, dict) or not data or "/etc/cloud/cloud-init.disabled" in data:
        return ""
    last, keeps = next(iter(sorted(data))), False
    for path in sorted(data):  # cloud.cfg, then cloud.cfg.d: the later one wins
        for line in str(data[path]).splitlines():
            key, _, value = line.partition("#")[0].partition(":")
            if key == "preserve_hostname":
                last, keeps = str(path), value.strip().lower() in ("true", "yes", "on")
    return "" if keeps else last


def _misnamed(running: str, intent: Intent) -> str:
    """Return why a node answers to a wrong name."""
    other = next((n for n in intent.nodes if n != intent.node and _same(running, intent.of(n).hostname)), "")
    if other:
        return f"the node answers to the name of {other}"
    if _same(running, intent.node):
        return f"hostname_policy is ib, but {STATIC} and kernel say {running}, not the fabric interface's name"
    return f"the node was renamed, or never named: {STATIC} and kernel say {running}"
