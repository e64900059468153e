"""Addresses that MPI may offer and that several nodes bear: who connects to one of another node reaches itself."""

from __future__ import annotations

import ipaddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ddlcheck.fabric import Measurement


def find(found: Measurement) -> dict[str, dict[str, str]]:
    """Return ``{address: {node: its interface}}``, but of none whose bearers got on with each other.

    A pair of its bearers that was measured shows that MPI does not use the address, or not to connect.
    """
    by: dict[str, dict[str, str]] = {}
    for node, facts in found.ranks.items():
        for interface, address in (facts.get("addresses") or {}).items():
            if _offered(interface, address, found.interfaces):
                by.setdefault(str(address), {})[node] = str(interface)
    met = [(pair["a"], pair["b"]) for pair in found.pairs]
    return {
        address: where
        for address, where in by.items()
        if len(where) > 1 and not any(a in where and b in where for a, b in met)
    }


def by_node(twins: Mapping[str, Mapping[str, str]], nodes: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return each node's own part, ``{node: {address: its interface}}``: together they are no longer than the nodes."""
    return {node: {address: where[node] for address, where in twins.items() if node in where} for node in nodes}


def _offered(interface: str, address: str, told: Sequence[str]) -> bool:
    """Whether MPI may use it: told nothing, anything that is up; else what it is told, by name or as a network."""
    return not told or any(_is(word, interface, address) for word in told)


def _is(word: str, interface: str, address: str) -> bool:
    if "/" not in word:
        return word == interface
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(word, strict=False)
    except ValueError:
        return False
