"""The one place that knows how Open MPI 4 and 5 (and, roughly, the MPICH family) want to be told things.

Sources: ompi 4.1 ``mpirun(1)``; PRRTE 3 ``prterun(1)``; what each version accepts was tried on 4.1.4 and 5.0.11.
"""

from __future__ import annotations

import re

from ddlcheck.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPEN_MPI, MPICH = "Open MPI", "MPICH"

#: A host name, address or slot count must not read as an option or a modifier.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:,/^-]*\Z")


class Dialect:
    """A family of launchers and its version, as ``mpirun --version`` tells them."""

    __slots__ = ("family", "text", "version")

    def __init__(self, family: str, version: tuple[int, ...], text: str) -> None:
        self.family = family
        self.version = version
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"

    @property
    def prrte(self) -> bool:
        """Open MPI 5 and later launch by PRRTE, which renamed most of the launcher's parameters."""
        return self.family == OPEN_MPI and self.version >= (5,)


def detect(version_text: str) -> Dialect:
    """Read the output of ``mpirun --version``; raises ``UsageError`` for a launcher that is not known."""
    if found := re.search(r"\((?:Open MPI|Open ?RTE|PRRTE)\)\s+(\d+)\.(\d+)(?:\.(\d+))?", version_text):
        numbers = tuple(int(x) for x in found.groups() if x)
        return Dialect(OPEN_MPI, numbers, "Open MPI " + ".".join(map(str, numbers)))
    if re.search(r"HYDRA|Intel\(R\) MPI", version_text):
        found = re.search(r"Version:?\s+(\d+)\.(\d+)", version_text)
        numbers = tuple(int(x) for x in found.groups()) if found else (0,)
        return Dialect(MPICH, numbers, "MPICH or Intel MPI " + ".".join(map(str, numbers)))
    first = version_text.strip().partition("\n")[0][:80]
    raise UsageError(f"mpirun is of no kind that is known here: {first or 'it printed nothing'}")


def hostfile(dialect: Dialect, hosts: Sequence[str], per_node: int) -> bytes:
    """Return a host file: one host a line, with its slots."""
    for host in hosts:
        if not _HOST.match(host):
            raise UsageError(f"{host!r} cannot stand in a host file")
    form = "{} slots={}\n" if dialect.family == OPEN_MPI else "{}:{}\n"
    return "".join(form.format(host, per_node) for host in hosts).encode()


def command(
    dialect: Dialect,
    program: Sequence[str],
    *,
    mpirun: str = "mpirun",
    hostfile: str,
    ranks: int,
    per_node: int = 1,
    transport: str = "",
    interfaces: Sequence[str] = (),
    agent: str = "",
    env: Mapping[str, str] | None = None,
    root: bool = False,
    shared_cores: bool = False,
    extra: Sequence[str] = (),
) -> list[str]:
    """Return the launch line for ``program``, an argument list of its own.

    ``transport``: empty leaves the choice to the library; ``verbs`` and ``tcp`` force it. ``interfaces``
    (names or CIDR) are offered for TCP and the launcher's own traffic. ``agent`` replaces ssh.
    ``shared_cores``: several nodes share cores (a practice cluster); a waiting rank yields, at some latency.
    """
    for word in (*interfaces, *(env or {})):
        if not _WORD.match(word):
            raise UsageError(f"{word!r} cannot be passed to mpirun")
    out = [mpirun]
    if dialect.family == MPICH:
        out += ["-f", hostfile, "-n", str(ranks), "-ppn", str(per_node), *_hydra(interfaces, agent, env or {})]
        return [*out, *extra, *program]
    if root:
        out.append("--allow-run-as-root")
    out += ["--hostfile", hostfile, "-n", str(ranks)]
    # Slots are in the host file; `oversubscribe` only for nodes with fewer cores than ranks.
    mapping = f"ppr:{per_node}:node"
    out += ["--map-by", f"{mapping}:OVERSUBSCRIBE", "--bind-to", "none"]
    out += _parameters(dialect, interfaces, agent, shared_cores=shared_cores)
    # Not forced unless asked: what the nodes' own settings choose is what their jobs will get.
    if transport == "verbs":
        out += ["--mca", "pml", "ucx"]
    elif transport == "tcp":
        shared_memory = "sm" if dialect.prrte else "vader"
        out += ["--mca", "pml", "ob1", "--mca", "btl", f"self,{shared_memory},tcp"]
    for name, value in (env or {}).items():
        out += ["-x", f"{name}={value}"]
    return [*out, *extra, *program]


def _hydra(interfaces: Sequence[str], agent: str, env: Mapping[str, str]) -> list[str]:
    out = ["-bind-to", "none"]
    if agent:
        out += ["-launcher", "ssh", "-launcher-exec", agent]
    if interfaces:
        out += ["-iface", interfaces[0]]
    return out + [word for name, value in env.items() for word in ("-genv", name, value)]


def _parameters(dialect: Dialect, interfaces: Sequence[str], agent: str, *, shared_cores: bool) -> list[str]:
    offered = ",".join(interfaces)
    pairs = []
    # From 64 nodes on, daemons start daemons: then any node needs ssh to any other. That promise is
    # ssh_mesh's; this one starts every daemon from the head.
    if dialect.prrte:
        pairs.append(("--prtemca", "plm_ssh_no_tree_spawn", "1"))
        if agent:
            pairs.append(("--prtemca", "plm_ssh_agent", agent))
        if offered:
            pairs.append(("--prtemca", "prte_if_include", offered))
    else:
        pairs.append(("--mca", "plm_rsh_no_tree_spawn", "1"))
        if agent:
            pairs.append(("--mca", "plm_rsh_agent", agent))
        if offered:
            pairs.append(("--mca", "oob_tcp_if_include", offered))
    if offered:
        pairs.append(("--mca", "btl_tcp_if_include", offered))
    if shared_cores:
        pairs.append(("--mca", "mpi_yield_when_idle", "1"))
    return [word for pair in pairs for word in pair]
