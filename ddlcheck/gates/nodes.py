"""Which nodes a gate is about: those that were named, an inventory's, or those of the job it is in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.ddl import here, hosts
from ddlcheck.ddl.ask import is_local
from ddlcheck.errors import UsageError
from ddlcheck.inventory import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.ddl.hosts import Allocation
    from ddlcheck.intent import Intent

#: Seconds that Flux may take to name its nodes.
_SECONDS = 20.0


class Chosen(NamedTuple):
    """The nodes under the names that the job uses for them; what is declared of them, where there is an inventory."""

    nodes: tuple[Node, ...]
    slots: Allocation
    said: str
    source: str = ""
    intents: Mapping[str, Intent] = {}
    #: Whether nothing but their names is known of how to reach them.
    plain: bool = True


def job() -> Allocation | None:
    """Return the nodes of the Slurm, PBS, LSF or Flux job this process is in; None outside of one."""
    return (
        hosts.from_environment(os.environ, here.read_text)
        or hosts.from_lsf(os.environ, here.read_text)
        or hosts.from_flux(os.environ, _flux)
    )


def _flux() -> str:
    said = here.output(["flux", "resource", "list", "--states=all", "--no-header", "-o", "{nodelist}"], _SECONDS)
    if said is None or said[0] or not said[1].strip():
        words = " ".join((said[1] if said else "no answer").split())[:200]
        raise UsageError(f"FLUX_URI is set, but `flux resource list` names no nodes: {words}")
    return ",".join(said[1].split())


def choose(words: str | None, hostfile: str | None, inventory: str | None) -> Chosen:
    """Return what to ask; raises `UsageError` when nothing says which nodes, or two words say it."""
    if words and hostfile:
        raise UsageError("the hosts are named twice, by -H and by --hostfile")
    allocation = job()
    named = hosts.parse_hosts(words) if words else None
    if hostfile:
        named = hosts.parse_hostfile(here.read_text(hostfile), hostfile)
    if named is not None and allocation is not None:
        names = hosts.as_allocated(list(named), allocation)
        named = hosts.Allocation(((name, allocation[name]) for name in names), allocation.manager)
    if inventory:
        return _declared(inventory, named or allocation)
    found = named or allocation
    if found is None:
        raise UsageError(
            "no nodes: name them (-H, --hostfile, --inventory), or be inside a Slurm, PBS, LSF or Flux job"
        )
    said = f"the {found.manager} allocation" if found.manager else "the host list"
    return Chosen(tuple(Node(name, name, local=is_local(name)) for name in found), found, said)


def _declared(source: str, wanted: Allocation | None) -> Chosen:
    """Return an inventory's nodes under their names for MPI, or those of them that are wanted."""
    from ddlcheck import inventory as reader  # noqa: PLC0415 - Ansible's loader takes its time

    found = reader.load(source)
    by_name = {name: node for node in found.nodes for name in found.intents[node.name].names}
    if wanted is None:
        names = [hosts.host_name(found.intents[node.name].mpi_name) for node in found.nodes]
        if len(set(names)) < len(names):
            raise UsageError(f"{source}: two hosts have the same name for MPI, {max(names, key=names.count)}")
        wanted = hosts.Allocation((name, 0) for name in names)
    nodes, intents = [], {}
    for name in wanted:
        node = by_name.get(name) or by_name.get(hosts.short(name))
        if node is None:
            raise UsageError(f"{source}: says nothing of host {name}")
        fields = {key: value for key, value in vars(node).items() if key != "name"}
        nodes.append(Node(name, **fields))
        intents[name] = found.intents[node.name]
    return Chosen(tuple(nodes), wanted, f"inventory {source}", source, intents, plain=False)
