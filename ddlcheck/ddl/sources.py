"""Where the hosts of a command come from: its own words, an inventory, or the job it runs in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.ddl import here, hosts
from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.ddl.hosts import Allocation


class Source(NamedTuple):
    """Hosts with their slots, what they are called in a sentence, and what an inventory promises of them."""

    hosts: Allocation
    said: str
    memlock: Mapping[str, str] = {}
    interface: str = ""


def job() -> Allocation | None:
    """Return the hosts of the Slurm or PBS job this process is in."""
    return hosts.from_environment(os.environ, here.read_text)


def inventory(source: str) -> Source:
    """Return an inventory's hosts under the names that MPI is to use for them."""
    from ddlcheck import inventory as reader  # noqa: PLC0415 - Ansible's loader takes its time

    found = reader.load(source)
    intents = [found.intents[node.name] for node in found.nodes]
    names = [hosts.host_name(intent.mpi_name) for intent in intents]
    if len(set(names)) < len(names):
        raise UsageError(f"{source}: two hosts have the same name for MPI, {max(names, key=names.count)}")
    fabric = {str(intent["interfaces_fabric"]) for intent in intents}
    return Source(
        hosts.Allocation((name, 0) for name in names),
        f"inventory {source}",
        {name: str(intent["memlock_limit"]) for name, intent in zip(names, intents, strict=True)},
        # Interfaces that are called otherwise on each node are said in each node's own parameter file.
        fabric.pop() if len(fabric) == 1 else "",
    )


def choose(words: str | None, inventory_source: str | None) -> Source:
    """Return the hosts that were named, or those of the job; raises `UsageError` when there are none."""
    if words and inventory_source:
        raise UsageError("the hosts are named twice, by a list and by an inventory")
    allocation = job()
    if words:
        chosen = Source(hosts.parse_hosts(words), "the host list")
    elif inventory_source:
        chosen = inventory(inventory_source)
    elif allocation is not None:
        return Source(allocation, f"the {allocation.manager} allocation")
    else:
        raise UsageError("no hosts: name them, give an inventory, or be inside a Slurm or PBS job")
    return chosen if allocation is None else _within(chosen, allocation)


def _within(chosen: Source, allocation: Allocation) -> Source:
    """Inside a job only its own hosts can be used, under its names and with its slots."""
    names = hosts.as_allocated(list(chosen.hosts), allocation)
    slots = hosts.Allocation(
        ((name, wanted or allocation[name]) for name, wanted in zip(names, chosen.hosts.values(), strict=True)),
        allocation.manager,
    )
    memlock = {
        name: chosen.memlock[old] for name, old in zip(names, chosen.hosts, strict=True) if old in chosen.memlock
    }
    return chosen._replace(hosts=slots, memlock=memlock)
