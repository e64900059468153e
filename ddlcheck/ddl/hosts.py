"""Host lists: folded, from an allocation, and under the names that the allocation uses."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: More hosts than any allocation has: `n[1-99999999]` must end in a sentence, not in lack of memory.
MAX_HOSTS = 100_000

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


class Allocation(dict[str, int]):
    """Hosts in order and the slots each one has; 0 where nobody said how many.

    ``manager`` is ``slurm``, ``pbs``, ``lsf``, ``flux`` or empty: under a manager mpirun learns the hosts itself.
    """

    def __init__(self, slots: Mapping[str, int] | Iterable[tuple[str, int]] = (), manager: str = "") -> None:
        super().__init__(slots)
        self.manager = manager


def host_name(text: str) -> str:
    """Return the name; raises `UsageError` for what could be an option or is no host name at all."""
    if not _NAME.fullmatch(text) or len(text) > 253:  # noqa: PLR2004 - RFC 1035
        raise UsageError(f"{text[:80]!r} is not a host name")
    return text


def parse_hosts(text: str) -> Allocation:
    """Read ``a,b``, ``sys-[89074-89079]`` and ``a:4,b:4``, in the order given, each host once."""
    out = Allocation()
    for word in _split(text):
        names, colon, count = word.partition(":")
        if colon and not re.fullmatch(r"[1-9][0-9]{0,5}", count):
            raise UsageError(f"{word!r}: after the colon comes a number of slots")
        for name in _unfold(names):
            if name in out:
                raise UsageError(f"host {name} is named twice")
            out[name] = int(count or 0)
    if not out:
        raise UsageError("the host list is empty")
    return out


def _split(text: str) -> list[str]:
    """Split at commas and white space that are not inside brackets."""
    return [word for word in re.split(r"[,\s]+(?![^\[\]]*\])", text.strip()) if word]


def _unfold(text: str) -> list[str]:
    """Unfold one word, keeping the order it is written in (a NodeSet would sort the names)."""
    if "[" not in text and "]" not in text:
        return [host_name(text)]
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException  # noqa: PLC0415 - slow

    # Letters, digits, ranges: @group, !, & and ^ would reach into a site's group files.
    if not re.fullmatch(r"(?:[A-Za-z0-9_.-]|\[[0-9,/-]+\])+", text):
        raise UsageError(f"{text[:80]!r} is not a folded host list such as node[01-16]")
    if _size(text) > MAX_HOSTS:
        raise UsageError(f"{text[:80]!r} names more than {MAX_HOSTS} hosts")
    try:
        return [host_name(str(node)) for node in NodeSet(text, resolver=RESOLVER_NOGROUP)]
    except NodeSetException as error:
        raise UsageError(f"{text[:80]!r} is not a folded host list such as node[01-16]: {error}") from error


def _size(text: str) -> int:
    """Return how many names a folded word can stand for, without making them."""
    total = 1
    for group in re.findall(r"\[([0-9,/-]+)\]", text):
        ranges = re.findall(r"([0-9]+)-([0-9]+)", group)
        total *= group.count(",") + 1 + sum(max(int(last[:18]) - int(first[:18]), 0) for first, last in ranges)
    return total


def from_environment(env: Mapping[str, str], read: Callable[[str], str]) -> Allocation | None:
    """Return the hosts of the Slurm or PBS job we are in, under the names it uses; None outside.

    ``read`` returns a file's text; raises `UsageError` when the environment contradicts itself.
    """
    if env.get("SLURM_JOB_NODELIST"):
        return _slurm(env)
    if env.get("PBS_NODEFILE"):
        try:
            text = read(env["PBS_NODEFILE"])
        except OSError as error:
            raise UsageError(f"PBS_NODEFILE {env['PBS_NODEFILE']} cannot be read: {error.strerror}") from error
        return _pbs(text)
    return None


def _slurm(env: Mapping[str, str]) -> Allocation:
    hosts = list(parse_hosts(env["SLURM_JOB_NODELIST"]))
    text = env.get("SLURM_TASKS_PER_NODE", "")
    counts = slurm_counts(text) if text else [0] * len(hosts)
    if len(counts) != len(hosts):
        raise UsageError(
            f"SLURM_TASKS_PER_NODE={text} speaks of {len(counts)} nodes and SLURM_JOB_NODELIST of {len(hosts)}"
        )
    return Allocation(zip(hosts, counts, strict=True), "slurm")


def from_lsf(env: Mapping[str, str], read: Callable[[str], str]) -> Allocation | None:
    """Return the hosts of the LSF job we are in; None outside.

    The file is there for jobs of any size; ``LSB_HOSTS`` is left out where it would be too long for an environment.
    """
    if env.get("LSB_DJOB_HOSTFILE"):
        return _each(read(env["LSB_DJOB_HOSTFILE"]).split(), "LSB_DJOB_HOSTFILE", "lsf")
    words = env.get("LSB_MCPU_HOSTS", "").split()
    if words:
        counts = words[1::2]
        if len(words) % 2 or not all(re.fullmatch(r"[1-9][0-9]{0,5}", count) for count in counts):
            raise UsageError(f"LSB_MCPU_HOSTS={' '.join(words)[:80]} is not what LSF writes, such as hostA 4 hostB 4")
        out = Allocation(manager="lsf")
        for name, count in zip(words[::2], counts, strict=True):
            out[host_name(name)] = out.get(name, 0) + int(count)
        return out
    return _each(env["LSB_HOSTS"].split(), "LSB_HOSTS", "lsf") if env.get("LSB_HOSTS") else None


def from_flux(env: Mapping[str, str], resources: Callable[[], str]) -> Allocation | None:
    """Return the hosts of the Flux instance we are in; None outside. ``resources`` returns its folded node list."""
    if not env.get("FLUX_URI"):
        return None
    return Allocation(parse_hosts(resources()), "flux")


def parse_hostfile(text: str, said: str) -> Allocation:
    """Read a host file of Open MPI, ``NAME [slots=N]``, or of MPICH, ``NAME[:N]``; a name twice adds its slots."""
    out = Allocation()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name, colon, count = words[0].partition(":")
        fields = dict(word.partition("=")[::2] for word in words[1:])
        count = count if colon else fields.get("slots", fields.get("cpu", fields.get("count", "0")))
        if not re.fullmatch(r"[0-9]{1,6}", count):
            raise UsageError(f"{said} line {number}: {count[:20]!r} is not a number of slots")
        try:
            out[host_name(name)] = out.get(name, 0) + int(count)
        except UsageError as error:
            raise UsageError(f"{said} line {number}: {error}") from None
    if not out:
        raise UsageError(f"{said} names no host")
    return out


def _each(names: Sequence[str], said: str, manager: str) -> Allocation:
    """Count the names of a list that holds a host once for each of its slots."""
    out = Allocation(manager=manager)
    for name in names:
        out[host_name(name)] = out.get(name, 0) + 1
    if not out:
        raise UsageError(f"{said} names no host")
    return out


def slurm_counts(text: str) -> list[int]:
    """Unfold Slurm's ``4(x2),3`` into ``[4, 4, 3]``."""
    out: list[int] = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,6})(?:\(x([0-9]{1,6})\))?\s*", word)
        if not match:
            raise UsageError(f"{text[:80]!r} is not what Slurm writes for tasks per node, such as 4(x2),3")
        out += [int(match[1])] * int(match[2] or 1)
    return out


def _pbs(text: str) -> Allocation:
    return _each(text.split(), "PBS_NODEFILE", "pbs")


def short(name: str) -> str:
    """Return the name without its domain; addresses stay whole."""
    return name if _is_address(name) else name.partition(".")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def shorten(hosts: Sequence[str]) -> list[str]:
    """Return short names; raises `UsageError` where two of them become one."""
    out = [short(host) for host in hosts]
    for index, name in enumerate(out):
        if name in out[:index]:
            raise UsageError(f"{hosts[out.index(name)]} and {hosts[index]} have the same short name {name}")
    return out


def qualify(hosts: Sequence[str], canonical: Callable[[str], str]) -> list[str]:
    """Return qualified names; ``canonical`` asks the resolver for those that are not."""
    out = []
    for host in hosts:
        full = host if "." in host or _is_address(host) else canonical(host).rstrip(".")
        if "." not in full:
            raise UsageError(f"host {host} has no qualified name: the resolver knows it as {full or 'nothing'}")
        out.append(host_name(full))
    return out


def as_allocated(hosts: Sequence[str], allocation: Allocation | None) -> list[str]:
    """Return each host under the name that the allocation uses; outside one, as it is."""
    if allocation is None:
        return list(hosts)
    by_short = {short(name).lower(): name for name in allocation}
    out = []
    for host in hosts:
        name = host if host in allocation else by_short.get(short(host).lower(), "")
        if not name:
            raise UsageError(
                f"host {host} is not in the {allocation.manager} allocation ({', '.join(list(allocation)[:8])})"
            )
        out.append(name)
    return out
