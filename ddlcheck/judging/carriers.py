"""Which device carried the bytes: from counters read around each phase, whatever the library believes.

Names of devices: ``net:eth0`` (bytes of an interface), ``ib:mlx5_0/1:bytes`` (data of a verbs port),
``ib:efa_0/1:hwbytes`` (the driver's own byte counter), ``ib:rxe0/1:packets`` (where only packets are counted).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VERBS, TCP, SHARED, LOOPBACK, UNSEEN = "verbs", "tcp", "shared memory", "loopback", "nothing that counts"
#: Of the bytes a rank sent, how much a device must have sent to have carried them.
_MOST = 0.5
#: Bytes in a packet, at most (the largest path MTU of InfiniBand): a count of packets gives a lower bound.
_PACKET = 4096
#: Below this, what was sent does not stand out from what else a node sends.
_LEAST = 1 << 20


class Carrier:
    """What carried a node's bytes: ``kind`` (one of the names above), ``device``, and its ``share`` of them."""

    __slots__ = ("device", "kind", "share")

    def __init__(self, kind: str, device: str, share: float) -> None:
        self.kind = kind
        self.device = device
        self.share = share

    def __str__(self) -> str:
        return f"{self.kind} ({self.device})" if self.device else self.kind


def of(counters: Mapping[str, Any]) -> Carrier | None:
    """Return what carried a node's bandwidth phases; None where too little was sent to tell."""
    share = shares(counters)
    if not share and _payload(counters) < _LEAST:
        return None
    kind, device = _carrier({device: x for device, x in share.items() if x >= _MOST})
    return Carrier(kind, device.partition(":")[2], round(share.get(device, 0.0), 3))


def _payload(counters: Mapping[str, Any]) -> int:
    phases = [found for phase in ("one_way", "both_ways") if isinstance(found := counters.get(phase), dict)]
    return sum(found.get("payload", 0) for found in phases)


def shares(counters: Mapping[str, Any]) -> dict[str, float]:
    """Return what each device sent in the bandwidth phases, as a part of what the ranks sent; empty for too little."""
    sent: dict[str, float] = {}
    payload = _payload(counters)
    for phase in ("one_way", "both_ways"):
        found = counters.get(phase)
        if not isinstance(found, dict):
            continue
        for device, moved in found.get("moved", {}).items():
            sent[device] = sent.get(device, 0) + moved[0]
    return {} if payload < _LEAST else {device: _bytes(device, moved) / payload for device, moved in sent.items()}


def _bytes(device: str, moved: float) -> float:
    return moved * _PACKET if device.endswith(":packets") else moved


def _carrier(share: Mapping[str, float]) -> tuple[str, str]:
    """Return kind and device among those that moved enough.

    A verbs port that moved as much as an interface carried IP over InfiniBand: that is TCP. A Soft-RoCE device
    counts packets of its own, which TCP does not touch, and its interface counts them once more.
    """
    verbs = [device for device in share if device.startswith("ib:")]
    packets = [device for device in verbs if device.endswith(":packets")]
    networks = [device for device in share if device.startswith("net:") and device != "net:lo"]
    best = max(networks, key=lambda device: share[device], default="")
    # TCP over a hundred IPoIB packets would pass for verbs on a software device only if it had both.
    if packets and any(_software(device) for device in packets):
        return VERBS, next(device for device in packets if _software(device))
    if verbs and not best:
        return VERBS, max(verbs, key=lambda device: share[device])
    if best:
        return TCP, best
    if "net:lo" in share:
        return LOOPBACK, "net:lo"
    return (SHARED, "") if not share else (UNSEEN, "")


def _software(device: str) -> bool:
    return device.startswith(("ib:rxe", "ib:siw"))


def kind_of(device: str) -> str:
    """Return the kind of a device a single pair's bytes travelled on."""
    if device.startswith("ib:"):
        return VERBS
    if device == "net:lo":
        return LOOPBACK
    return TCP if device.startswith("net:") else SHARED


def no_port(ports: Mapping[str, str]) -> str:
    """Return why a node cannot use verbs at all; empty where one of its ports is active.

    ``ports`` maps ``/sys/class/infiniband/*/ports/*/state`` to its text.
    """
    if not ports:
        return "the node has no InfiniBand or RoCE device"
    if any("ACTIVE" in text for text in ports.values()):
        return ""
    path, text = next(iter(sorted(ports.items())))
    name, state = "/".join(path.split("/")[4:7:2]), text.partition(":")[2].strip().lower() or "not active"
    return f"no port is active: {name} is {state}"


def why_not_verbs(  # noqa: PLR0911 - causes in the order they are looked for
    *, ports: Mapping[str, str], params: Mapping[str, str], memlock: str, talk: str
) -> tuple[str, str]:
    """Return (cause, remedy) of bytes that did not take the verbs device.

    ``ports`` is as in `no_port`, ``params`` maps the parameter files that a rank reads to their texts; ``memlock``
    is a rank's soft limit in KiB or ``unlimited``.
    """
    if cause := no_port(ports):
        return cause, "inspect"
    for path, text in sorted(params.items()):
        for line in text.splitlines():
            name, equals, value = (word.strip() for word in line.partition("#")[0].partition("="))
            if equals and name == "pml" and value.startswith("^") and "ucx" in value:
                return f"{path} switches UCX off (pml = {value})", "openmpi"
            if equals and name == "pml" and value == "ob1":
                return f"{path} asks for ob1, which has no verbs in Open MPI 5 and seldom in 4 (pml = ob1)", "openmpi"
    if "not used by default" in talk:
        return "openib is not used by default since Open MPI 4, and UCX is missing or not chosen", "openmpi"
    if memlock.isdigit() and int(memlock) < 1 << 20:
        return f"a rank may lock {memlock} KiB of memory only, and RDMA pins what it sends", "memlock"
    if "UCX" not in talk:
        cause = "Open MPI chose TCP although a port is active: no UCX in it, ranks may not open the device"
        return f"{cause}, or the nodes it spoke to have no such port", "openmpi"
    said = next((line.strip() for line in talk.splitlines() if "UCX" in line), "")
    return f"UCX did not use the device: {said[:160]}", "openmpi"
