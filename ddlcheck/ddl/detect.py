"""From what a node prints to a `Machine`: sockets, cores, and the socket of each GPU.

Pure: whoever asks the node (`ddlcheck launch`'s pre-check, the probes) brings the texts here.
"""

from __future__ import annotations

import re

from ddlcheck.ddl.rankfile import Machine
from ddlcheck.errors import NotSeen

#: The columns `cpus` reads, in this order. Offline CPUs are left out by lscpu itself.
LSCPU = ("lscpu", "-p=CPU,CORE,SOCKET,NODE")
#: The matrix whose ``CPU Affinity`` and ``NUMA Affinity`` columns say where each GPU hangs.
TOPO = ("nvidia-smi", "topo", "-m")

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
#: A line of ``lscpu -p``; socket and node are empty on machines that do not tell (containers, some Arm).
_CPU = re.compile(r"([0-9]+),([0-9]+),([0-9]*),([0-9]*)")


def cpus(lscpu: str) -> list[tuple[int, int, int, int]]:
    """Return (cpu, core, socket, NUMA node) of each CPU that is online; raises `NotSeen`."""
    out = []
    for line in lscpu.splitlines():
        match = _CPU.fullmatch(line.strip())
        if match:
            cpu, core, socket, node = (int(field or 0) for field in match.groups())
            out.append((cpu, core, socket, node))
    if not out:
        raise NotSeen("lscpu printed no CPU")
    return out


def gpu_affinity(topo: str) -> list[tuple[frozenset[int], int | None]]:
    """Return (CPUs, NUMA node) of each GPU in nvidia-smi's order; no text, no GPU.

    A GPU whose CPUs are not told has an empty set; one whose node is not, None.
    """
    lines = [_ANSI.sub("", line).split("\t") for line in topo.splitlines()]
    head = next(([cell.strip() for cell in line] for line in lines if "CPU Affinity" in "\t".join(line)), None)
    if head is None:
        return []
    out = []
    for line in lines:
        cells = [cell.strip() for cell in line]
        if re.fullmatch(r"GPU[0-9]+", cells[0]) and cells != head:
            node = _cell(head, cells, "NUMA Affinity")
            # Several nodes (`0-1`) mean that the GPU is near to none in particular: the first will do.
            first = re.match(r"[0-9]+", node)
            out.append((_cpu_list(_cell(head, cells, "CPU Affinity")), int(first[0]) if first else None))
    return out


def _cell(head: list[str], cells: list[str], name: str) -> str:
    place = head.index(name) if name in head else len(cells)
    return cells[place] if place < len(cells) else ""


def _cpu_list(text: str) -> frozenset[int]:
    """Return the CPUs of ``0-13,28-41``; anything else is no CPU at all."""
    if not re.fullmatch(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:,[0-9]{1,5}(?:-[0-9]{1,5})?)*", text):
        return frozenset()
    out: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        out.update(range(int(first), int(last or first) + 1))
    return frozenset(out)


def machine(lscpu: str, topo: str = "", cores: int | None = None) -> Machine:
    """Return the machine; ``cores`` keeps that many of each socket, so that what is left over divides.

    Raises `NotSeen` when the text does not say, or a GPU's socket cannot be told on several sockets.
    """
    seen = cpus(lscpu)
    order = sorted({socket for _, _, socket, _ in seen})
    counted = tuple(len({core for _, core, socket, _ in seen if socket == one}) for one in order)
    if cores is not None:
        if cores > min(counted):
            raise NotSeen(f"--cores {cores} is more than the {min(counted)} that a socket has")
        counted = (cores,) * len(order)
    of_cpu = {cpu: order.index(socket) for cpu, _, socket, _ in seen}
    of_node: dict[int, int] = {}
    for _, _, socket, numa in seen:
        of_node.setdefault(numa, order.index(socket))
    sockets = []
    for gpu, (near, node) in enumerate(gpu_affinity(topo)):
        votes = {of_cpu[cpu] for cpu in near if cpu in of_cpu}
        if len(votes) == 1:
            sockets.append(votes.pop())
        elif len(order) == 1:
            sockets.append(0)
        elif node in of_node:
            sockets.append(of_node[node])
        else:
            raise NotSeen(f"nvidia-smi does not say which socket GPU {gpu} is near to")
    return Machine(counted, tuple(sockets))
