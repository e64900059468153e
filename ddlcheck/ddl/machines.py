"""Asking hosts what they are made of, for rank files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddlcheck.ddl import detect
from ddlcheck.ddl.ask import ask_all, way_to
from ddlcheck.ddl.seen import script
from ddlcheck.errors import NodeError, NotSeen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddlcheck.ddl.rankfile import Machine
    from ddlcheck.ddl.seen import Seen


def ask(hosts: Sequence[str], manager: str = "", cores: int | None = None) -> dict[str, Machine]:
    """Ask every host; raises `NodeError` or `NotSeen` naming the first that did not say."""
    return of(ask_all({host: way_to(host, manager) for host in hosts}, script("orted")), cores)


def of(seen: Mapping[str, Seen], cores: int | None = None) -> dict[str, Machine]:
    """Return what the answers say; raises as `ask` does."""
    out = {}
    for host, one in seen.items():
        if not one.reached:
            raise NodeError(one.reason or "closed", f"{host} cannot be asked: {one.error or one.reason}")
        try:
            out[host] = detect.machine(one["lscpu"], one["topo"], cores)
        except NotSeen as error:
            raise NotSeen(f"{host}: {error}") from error
    return out
