"""Rank files: which cores of which host each rank gets.

A socket's cores are divided evenly among the GPUs of that socket, and a slice never crosses a socket;
what does not divide is refused, with the nearest number that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.ddl.dims import Dims, check_hosts
from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The Minsky (POWER8) of the original: what ``rank_gen.py`` took for granted.
SOCKETS, CORES = 2, 10


class Slot(NamedTuple):
    """Cores ``first`` to ``last`` of a socket; Open MPI counts cores from 0 in each socket."""

    socket: int
    first: int
    last: int

    def __str__(self) -> str:
        cores = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.socket}:{cores}"


class Machine(NamedTuple):
    """One host: ``cores`` of each socket, and the socket of each GPU (empty: spread in order)."""

    cores: tuple[int, ...]
    gpu_sockets: tuple[int, ...] = ()


class Placed(NamedTuple):
    """One rank and where it goes."""

    rank: int
    host: str
    slot: Slot


def spread(gpus: int, sockets: int) -> tuple[int, ...]:
    """Return the socket of each GPU when nobody asked the machine: the first ones on socket 0."""
    if gpus < sockets:
        return tuple(range(gpus))
    if gpus % sockets:
        raise UsageError(f"{gpus} GPUs do not divide among {sockets} sockets")
    return tuple(gpu * sockets // gpus for gpu in range(gpus))


def slots(machine: Machine, gpus: int, host: str = "") -> tuple[Slot, ...]:
    """Return the slice of each GPU's rank; raises `UsageError` when the cores do not divide."""
    where = f"{host}: " if host else ""
    owner = machine.gpu_sockets or spread(gpus, len(machine.cores))
    if len(owner) < gpus:
        raise UsageError(f"{where}{gpus} GPUs per host are asked for, and it has {len(owner)}")
    owner = owner[:gpus]
    out = []
    for gpu, socket in enumerate(owner):
        sharers, cores = owner.count(socket), machine.cores[socket]
        if cores < sharers:
            raise UsageError(f"{where}socket {socket} has {_count(cores, 'core')} for {sharers} ranks")
        if cores % sharers:
            raise UsageError(
                f"{where}{cores} cores of socket {socket} do not divide among {sharers} GPUs; "
                f"--cores {cores - cores % sharers} leaves {cores % sharers} idle"
            )
        width = cores // sharers
        first = owner[:gpu].count(socket) * width
        out.append(Slot(socket, first, first + width - 1))
    return tuple(out)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def place(dims: Dims, hosts: Sequence[str], machines: Mapping[str, Machine] | Machine) -> list[list[Placed]]:
    """Return the ranks of each host, hosts in the order given, ranks by GPU."""
    check_hosts(dims, list(hosts))
    out = []
    for index, host in enumerate(hosts):
        machine = machines if isinstance(machines, Machine) else machines[host]
        named = "" if isinstance(machines, Machine) else host
        cut = slots(machine, dims.gpus, named)
        out.append([Placed(dims.rank(gpu, index), host, slot) for gpu, slot in enumerate(cut)])
    return out


def header(
    dims: Dims, hosts: Sequence[str], machines: Mapping[str, Machine] | Machine, written: str, notes: Sequence[str] = ()
) -> list[str]:
    """Return the comment that says what the file is for; the words are ``rank_gen.py``'s."""
    lines = [
        f"#{written} by ddlcheck rankfile",
        f"#dims = {dims}",
        f"#host = {','.join(hosts)}",
        f"#dimX = {dims.gpus}",
        f"#dimY = {dims.hosts_per_rack}",
        f"#dimZ = {dims.racks}",
    ]
    shapes = {machines.cores} if isinstance(machines, Machine) else {machines[host].cores for host in hosts}
    cores = next(iter(shapes))
    if len(shapes) == 1 and len(set(cores)) == 1:
        lines += [f"#sockets = {len(cores)}", f"#cores = {cores[0]}"]
    return lines + [f"#{note}" for note in notes]


def render(dims: Dims, placed: Sequence[Sequence[Placed]], head: Sequence[str] = ()) -> str:
    """Return the rank file's text: a block per host, one more empty line between racks."""
    lines = list(head)
    width = max(len(f"rank {one.rank}={one.host}") for block in placed for one in block) + 2
    for index, block in enumerate(placed):
        if lines:
            lines.append("")
        if index and index % dims.hosts_per_rack == 0:
            lines.append("")
        lines += [f"{f'rank {one.rank}={one.host}':{width}}slot={one.slot}" for one in block]
    return "\n".join(lines) + "\n"
