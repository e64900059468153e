"""What a launch by rank file has to say to Open MPI 4 and to 5; which one it is, `fabric.mpirun` knows.

What differs, each tried with 4.1 and 5.0: ``--rankfile FILE`` became ``--map-by rankfile:file=FILE``; a
rank file no longer is an allocation, so hosts and slots must be given too; names are matched without the
resolver unless PRRTE is told to ask it; daemon parameters moved from ``--mca`` to ``--prtemca``; and
``-x LD_LIBRARY_PATH`` replaces the library path that ``--prefix`` gives remote ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.errors import UsageError
from ddlcheck.fabric.mpirun import OPEN_MPI, detect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OLDEST = 4


class Mpi(NamedTuple):
    """An Open MPI: its version, whether PRRTE is its launcher (5 and later), and where it is.

    ``program`` is what to call; ``prefix`` is empty where every shell looks anyway.
    """

    version: tuple[int, ...]
    prrte: bool
    program: str = "mpirun"
    prefix: str = ""

    @property
    def daemon(self) -> str:
        """The program that mpirun starts on each node."""
        return "prted" if self.prrte else "orted"

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.version)


def open_mpi(version_text: str, program: str = "mpirun", prefix: str = "") -> Mpi:
    """Read what ``mpirun --version`` prints; raises `UsageError` for what has no rank files of this kind."""
    found = detect(version_text)
    if found.family != OPEN_MPI or found.version < (_OLDEST,):
        raise UsageError(
            f"rank files and launch lines are written for Open MPI 4 and later; mpirun here is {found.text}"
        )
    return Mpi(found.version, found.prrte, program, prefix)


class Job(NamedTuple):
    """What is to be launched, with the files that say where."""

    ranks: int
    rankfile: str
    hostfile: str
    command: Sequence[str]
    env: Sequence[str] = ()
    #: ``slurm`` or ``pbs``: mpirun has the hosts from the manager, and other names cannot be forced on it.
    manager: str = ""
    interface: str = ""
    mpiargs: Sequence[str] = ()


def hostfile(hosts: Mapping[str, int]) -> str:
    """Return the host file's text; its grammar is the same in both."""
    return "".join(f"{host} slots={slots}\n" for host, slots in hosts.items())


def allocation_args(mpi: Mpi, path: str, manager: str) -> list[str]:
    """Say which hosts there are; nothing where a resource manager does."""
    if manager:
        return []
    args = ["--hostfile", path]
    if mpi.prrte:
        # Without it the head node is not known under its fabric name, and the job ends with
        # "claimed that a host was either not allocated or oversubscribed its slots".
        args += ["--prtemca", "prte_do_not_resolve", "0"]
    return args


def rankfile_args(mpi: Mpi, path: str) -> list[str]:
    """Name the rank file. 5 still takes ``--rankfile``, with a warning that it will not for long."""
    return ["--map-by", f"rankfile:file={path}"] if mpi.prrte else ["--rankfile", path]


def interface_args(mpi: Mpi, interface: str) -> list[str]:
    """Keep MPI's TCP and the daemons' own traffic on one interface, a name or a network in CIDR form."""
    if not interface:
        return []
    daemons = ["--prtemca", "prte_if_include"] if mpi.prrte else ["--mca", "oob_tcp_if_include"]
    return ["--mca", "btl_tcp_if_include", interface, *daemons, interface]


def env_args(mpi: Mpi, names: Sequence[str], env: Mapping[str, str], libdir: str = "") -> list[str]:
    """Export variables by name: their values stay out of the process list.

    ``LD_LIBRARY_PATH`` is the exception on Open MPI 5 with a prefix: what is exported replaces the path
    that ``--prefix`` made, so the library directory is put in front of it.
    """
    args = []
    for name in names:
        value = name
        if name == "LD_LIBRARY_PATH" and mpi.prrte and mpi.prefix and libdir:
            rest = [part for part in env.get(name, "").split(":") if part and part != libdir]
            value = f"{name}={':'.join([libdir, *rest])}"
        args += ["-x", value]
    return args


def compose(mpi: Mpi, job: Job, env: Mapping[str, str], libdir: str = "") -> list[str]:
    """Return the whole mpirun line."""
    argv = [mpi.program, *(["--prefix", mpi.prefix] if mpi.prefix else [])]
    argv += ["-n", str(job.ranks)]
    argv += allocation_args(mpi, job.hostfile, job.manager)
    argv += rankfile_args(mpi, job.rankfile)
    argv += interface_args(mpi, job.interface)
    argv += env_args(mpi, job.env, env, libdir)
    return [*argv, *job.mpiargs, *job.command]


def dry_run(mpi: Mpi, rankfile: str, hosts: str, ranks: int, *, root: bool) -> list[str]:
    """Return the line that lets Open MPI 5 judge a rank file: no ssh, no rank, only the map."""
    argv = [mpi.program, "-n", str(ranks)]
    if root:
        argv.append("--allow-run-as-root")  # nothing is run
    argv += [*allocation_args(mpi, hosts, ""), *rankfile_args(mpi, rankfile)]
    return [*argv, "--display", "map", "--runtime-options", "donotlaunch", "true"]


def note(ranks: int, hosts: Mapping[str, int]) -> list[str]:
    """Return the comment for an Open MPI 5 rank file: the options it is to be used with."""
    named = ",".join(f"{host}:{slots}" for host, slots in hosts.items())
    return [
        "Open MPI 5: a rank file is no allocation; launch with",
        f"  mpirun -n {ranks} --host {named} --map-by rankfile:file=FILE --prtemca prte_do_not_resolve 0",
        "  (inside a Slurm or PBS job without --host and --prtemca)",
    ]
