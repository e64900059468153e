"""The lab's two networks: a management one the host is on, and a "fabric" that only nodes are on.

Both bridges live in a name space of their own, the *switch* (``ddl-NAME-0``), and the host has one leg in it,
``ddl-NAME``. So what nodes send each other never meets the host's packet filter, nothing of the lab is
forwarded anywhere, and ending the name space ends bridges and cables with it. Every name is derived from the
lab's: what an interrupted lab left can be found without its records.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.lab.host import run

NETNS = Path("/run/netns")
POOL = ipaddress.ip_network("10.88.0.0/16")
HOST, SWITCH = 254, 253
NODES_MAX = 64
CABLES = {"eth0": "m", "ib0": "f"}
BRIDGES = {"eth0": "mgmt", "ib0": "fabric"}


@dataclass(frozen=True)
class Network:
    """The networks of lab ``name``: from ``base``, a /24 for management and the next /24 for the fabric."""

    name: str
    base: str

    @property
    def block(self) -> ipaddress.IPv4Network:
        """Return the two /24 as one /23."""
        return ipaddress.IPv4Network(f"{self.base}/23")

    def address(self, interface: str, number: int) -> str:
        """Return the address of node ``number`` on ``interface`` (eth0 or ib0)."""
        return str(self.block.network_address + (256 if interface == "ib0" else 0) + number)

    @property
    def switch(self) -> str:
        """Return the name space the bridges are in."""
        return self.space(0)

    def space(self, number: int) -> str:
        """Return the name space of node ``number``; 0 is the switch."""
        return f"ddl-{self.name}-{number}"

    @property
    def leg(self) -> str:
        """Return the host's interface on the management network."""
        return f"ddl-{self.name}"

    def up(self, nodes: int) -> None:
        """Make name spaces, bridges and cables for that many nodes."""
        for number in range(nodes + 1):
            run(["ip", "netns", "add", self.space(number)])
            _quiet(self.space(number))
        bridges = [
            line
            for name in BRIDGES.values()
            for line in (
                f"link add name {name} type bridge forward_delay 0 mcast_snooping 0",
                f"link set {name} up",
            )
        ]
        cables = [
            f"link add name {letter}{number} type veth peer name {interface} netns {self.space(number)}\n"
            f"link set {letter}{number} master {BRIDGES[interface]} up"
            for number in range(1, nodes + 1)
            for interface, letter in CABLES.items()
        ]
        address = [f"addr add {self.address('eth0', SWITCH)}/24 dev mgmt", "link set lo up"]
        run(["ip", "-n", self.switch, "-batch", "-"], text="\n".join([*bridges, *address, *cables]) + "\n")
        peer = ["peer", "name", "host", "netns", self.switch]
        run(["ip", "link", "add", "name", self.leg, "type", "veth", *peer])
        run(["ip", "-n", self.switch, "link", "set", "host", "master", "mgmt", "up"])
        run(["ip", "addr", "add", f"{self.address('eth0', HOST)}/24", "dev", self.leg])
        run(["ip", "link", "set", self.leg, "up"])

    def cable(self, number: int, interface: str, *, up: bool) -> None:
        """Pull the cable of a node's interface out of the switch, or put it back.

        Raises:
            UsageError: a node has no such interface.

        """
        if interface not in CABLES:
            raise UsageError(f"a node has no interface {interface}: it has {' and '.join(CABLES)}")
        run(["ip", "-n", self.switch, "link", "set", f"{CABLES[interface]}{number}", "up" if up else "down"])


def spaces(name: str) -> list[str]:
    """Return the name spaces there are of lab ``name``."""
    found = [entry.name for entry in NETNS.iterdir()] if NETNS.is_dir() else []
    return sorted(space for space in found if re.fullmatch(rf"ddl-{re.escape(name)}-\d+", space))


def links() -> set[str]:
    """Return the names of the host's interfaces."""
    return {entry.name for entry in Path("/sys/class/net").iterdir()}


def remove(name: str) -> None:
    """Remove whatever there is of lab ``name``'s networks; its processes must be gone."""
    if f"ddl-{name}" in links():
        # The switch's end may be going away at this moment, taking this one along.
        with contextlib.suppress(DdlcheckError):
            run(["ip", "link", "del", f"ddl-{name}"])
    for space in spaces(name):
        run(["ip", "netns", "del", space])
    deadline = time.monotonic() + 10
    while f"ddl-{name}" in links():
        if time.monotonic() > deadline:
            raise DdlcheckError(f"interface ddl-{name} did not go away within 10 s")
        time.sleep(0.02)


def free_base(taken: set[str]) -> str:
    """Return the first pair of /24 that neither the host nor another lab (``taken``) uses.

    Raises:
        UsageError: there is none left.

    """
    used = [ipaddress.IPv4Network(f"{base}/23") for base in taken]
    for link in json.loads(run(["ip", "-j", "-4", "address"]) or "[]"):
        used += [
            ipaddress.IPv4Network(f"{entry['local']}/{entry['prefixlen']}", strict=False)
            for entry in link.get("addr_info", [])
        ]
    for route in json.loads(run(["ip", "-j", "-4", "route"]) or "[]"):
        with contextlib.suppress(ValueError):  # "default" is everybody's
            used.append(ipaddress.IPv4Network(route["dst"]))
    for block in POOL.subnets(new_prefix=23):
        if not any(block.overlaps(other) for other in used):
            return str(block.network_address)
    raise UsageError(f"no pair of /24 is free in {POOL} for another lab: take one down")


def _quiet(space: str) -> None:
    """Keep IPv6 off interfaces yet to be made: its address checks and solicitations are noise here."""
    knob = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
    if Path(knob).exists():
        run(["nsenter", f"--net={NETNS / space}", "tee", knob], text="1")
