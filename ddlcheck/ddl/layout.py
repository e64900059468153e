"""How many ranks go where, from what was asked for and what is there; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.ddl import machines
from ddlcheck.ddl.detect import gpu_affinity
from ddlcheck.ddl.dims import Dims, check_hosts
from ddlcheck.ddl.rankfile import Machine
from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.ddl.seen import Seen


class Wanted(NamedTuple):
    """The user's words; None where nothing was said."""

    gpus: int | None = None
    mode: Dims | None = None
    sockets: int | None = None
    cores: int | None = None


def gpus_said(wanted: Wanted, slots: Mapping[str, int]) -> int | None:
    """Return the ranks of each host as far as words or the allocation's slots say them."""
    if wanted.mode and wanted.gpus and wanted.gpus != wanted.mode.gpus:
        raise UsageError(f"--gpus {wanted.gpus} and --mode {wanted.mode}, which begins with the GPUs of a host, differ")
    if wanted.mode or wanted.gpus:
        return wanted.mode.gpus if wanted.mode else wanted.gpus
    counts = set(slots.values())
    if len(counts) > 1:
        raise UsageError(f"the hosts have different numbers of slots ({_few(counts)}): say --gpus")
    return counts.pop() or None


def _few(numbers: set[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers)[:6])


def asks(wanted: Wanted, slots: Mapping[str, int]) -> bool:
    """Whether the hosts have to be asked before their ranks can be placed."""
    return gpus_said(wanted, slots) is None or not (wanted.sockets and wanted.cores)


def dims(wanted: Wanted, slots: Mapping[str, int], seen: Mapping[str, Seen]) -> Dims:
    """Return the dimensions of the job; raises `UsageError` when nothing says how many GPUs there are."""
    gpus = gpus_said(wanted, slots) or _counted(seen)
    out = wanted.mode or Dims(gpus, len(slots), 1)
    check_hosts(out, list(slots))
    return out


def _counted(seen: Mapping[str, Seen]) -> int:
    reached = {host: len(gpu_affinity(one["topo"])) for host, one in seen.items() if one.reached}
    counts = set(reached.values())
    if len(counts) > 1:
        raise UsageError(f"the hosts have different numbers of GPUs ({_few(counts)}): say --gpus")
    if seen and not reached:
        return 1  # nobody answered: what stops the job then is that, and not how many ranks it has
    if counts <= {0}:
        raise UsageError("nothing says how many ranks a host gets: no GPU was found, so say --gpus N")
    return counts.pop()


def shapes(wanted: Wanted, hosts: Mapping[str, int], seen: Mapping[str, Seen]) -> dict[str, Machine]:
    """Return each host's sockets and cores: as they were said, or as the host says."""
    if wanted.sockets and wanted.cores:
        return dict.fromkeys(hosts, Machine((wanted.cores,) * wanted.sockets))
    if not seen:
        raise UsageError("no host is asked with --no-verify, so that --sockets and --cores have to be said")
    return machines.of(seen, wanted.cores)
