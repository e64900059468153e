"""What can stop a launch, judged in the seconds before it: pure, answers in and verdicts out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.ddl.detect import cpus, gpu_affinity
from ddlcheck.ddl.hosts import short
from ddlcheck.errors import NotSeen
from ddlcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.ddl.dialect import Mpi
    from ddlcheck.ddl.seen import Seen

#: Why a node could not be reached, and the promise that was broken.
_UNREACHED = {
    "name": ("hosts_file", "the launching host cannot resolve the name mpirun will use"),
    "key refused": ("ssh_mesh", "the node takes no key of this user, and mpirun cannot type a password"),
    "host key unknown": ("ssh_mesh", "the node's host key is not known here, and mpirun cannot answer ssh's question"),
    "host key changed": (
        "ssh_mesh",
        "the node shows another host key than the known one: reinstalled, or not the node",
    ),
    "refused": ("ssh_mesh", "no sshd listens on the node"),
    "timeout": ("ssh_mesh", "the node is down, hung, or behind a firewall"),
    "no route": ("ssh_mesh", "the node is down, or no network leads to it"),
    "closed": (
        "ssh_mesh",
        "sshd or the resource manager closed the connection: MaxStartups, or no job of this user there",
    ),
    "too much": ("ssh_mesh", "the login prints without end"),
}
#: Of these the role can mend nothing.
_INSPECT = {"timeout", "no route", "refused", "closed", "too much", "host key changed"}


class Plan(NamedTuple):
    """What is about to be launched."""

    mpi: Mpi
    ranks: Mapping[str, int]
    #: The slots the allocation gives each host; 0 where it does not say.
    slots: Mapping[str, int]
    #: What mpirun's own host says of the Open MPI there.
    here: Seen
    manager: str = ""
    gpus_declared: bool = False
    #: The promised limit of each host, in the words of ``ulimit -l``.
    memlock: Mapping[str, str] = {}


def judge(plan: Plan, seen: Mapping[str, Seen]) -> list[Verdict]:
    """Judge every node, then what only several together can show."""
    verdicts = []
    for host, one in seen.items():
        if not one.reached:
            verdicts.append(_unreached(host, one))
            continue
        found = [_reached(), _name(plan, host, one), _memlock(plan, host, one), _mpi(plan, one)]
        found += [_room(plan, host, one), _gpus(plan, host, one)]
        for verdict in found:
            verdict.nodes = (host,)
        verdicts += found
    return verdicts + _twins(seen)


def _unreached(host: str, one: Seen) -> Verdict:
    promise, cause = _UNREACHED.get(one.reason, ("ssh_mesh", "no shell answered on the node"))
    known = one.reason in _UNREACHED
    return Verdict(
        Status.FAIL if known else Status.UNKNOWN, one.error or one.reason or "no answer",
        promised=f"ssh to {host} without a question", cause=cause,
        remedy="inspect" if one.reason in _INSPECT or not known else promise,
        promise=promise, nodes=[host], evidence={"reason": one.reason},
    )  # fmt: skip


def _reached() -> Verdict:
    return Verdict(Status.PASS, "a shell answers", promise="ssh_mesh")


def _name(plan: Plan, host: str, one: Seen) -> Verdict:
    """Open MPI compares names: under a manager a wrong one stops the job, else our options save it."""
    own = one["host"]
    if own and (short(own).lower() == short(host).lower() or host == "localhost"):
        return Verdict(Status.PASS, f"the host calls itself {own}", promise="hostname")
    managed = bool(plan.manager)
    return Verdict(
        Status.FAIL if managed else Status.WARN, f"the host calls itself {own or 'nothing'}",
        promised=host, promise="hostname", remedy="hostname", evidence={"hostname": own},
        declared={"name": host},
        cause="the daemon reports a name that the allocation does not have"
        if managed
        else "works only because host list, rank file and options agree here; a plain mpirun may not find the host",
    )  # fmt: skip


def _memlock(plan: Plan, host: str, one: Seen) -> Verdict:
    limit, promised, rdma = one["memlock"], plan.memlock.get(host, "unlimited"), one["rdma"].split()
    evidence = {"soft": limit, "rdma": rdma}
    if not limit:
        return Verdict(Status.UNKNOWN, "the session did not say", promised=promised, promise="memlock",
                       cause="the shell knows no ulimit -l", remedy="inspect", evidence=evidence)  # fmt: skip
    enough = limit == "unlimited" or (promised != "unlimited" and _kib(limit) >= _kib(promised))
    if enough:
        return Verdict(Status.PASS, f"locked memory {limit}", promise="memlock", evidence=evidence)
    if not rdma and host not in plan.memlock:
        return Verdict(Status.SKIP, f"locked memory {limit} KiB, and no RDMA device that needs it",
                       promise="memlock", evidence=evidence)  # fmt: skip
    return Verdict(
        Status.FAIL, f"locked memory {limit} KiB", promised=promised, promise="memlock", remedy="memlock",
        cause="a rank cannot pin its buffers: no completion queue, or a silent fall back to TCP",
        evidence=evidence, declared={"limit": promised},
    )  # fmt: skip


def _kib(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _mpi(plan: Plan, one: Seen) -> Verdict:
    wanted = f"{plan.mpi.daemon} of Open MPI {plan.mpi}"
    evidence = {"daemon": one["daemon"], "version": _version(one), "build": one["build"]}

    def bad(status: Status, seen: str, cause: str, remedy: str = "openmpi") -> Verdict:
        return Verdict(status, seen, promised=wanted, cause=cause, remedy=remedy, promise="openmpi", evidence=evidence)

    if "build" not in one.texts:
        return bad(Status.UNKNOWN, one.error or "no answer about Open MPI", "the node stopped answering", "inspect")
    if not one["daemon"]:
        where = f"in {plan.mpi.prefix}/bin" if plan.mpi.prefix else "on the PATH of a non-interactive shell"
        return bad(Status.FAIL, f"no {plan.mpi.daemon} {where}", "mpirun starts its daemon there and will not find it")
    if _version(one) != _version(plan.here):
        seen = _version(one) or "no Open MPI version"
        return bad(Status.FAIL, seen, "two versions of Open MPI do not start a job together")
    if one["build"] != plan.here["build"]:
        cause = "the configure lines differ: CUDA or UCX may be in one and not in the other"
        return bad(Status.WARN, "the same version, built otherwise", cause)
    return Verdict(Status.PASS, f"{_version(one)}, the same build", promise="openmpi", evidence=evidence)


def _version(one: Seen) -> str:
    return (one["mpi"].splitlines() or [""])[0].strip()


def _room(plan: Plan, host: str, one: Seen) -> Verdict:
    """Slots are the allocation's to give, cores the machine's."""
    ranks, slots = plan.ranks[host], plan.slots.get(host, 0)

    def bad(status: Status, seen: str, promised: str, cause: str, remedy: str) -> Verdict:
        return Verdict(status, seen, promised=promised, cause=cause, remedy=remedy, promise="rankfile",
                       declared={"ranks": ranks, "slots": slots})  # fmt: skip

    if slots and ranks > slots:
        cause = "a host that gets more ranks than slots is refused as oversubscribed"
        return bad(Status.FAIL, _many(slots, "slot"), _many(ranks, "rank"), cause, "inventory")
    try:
        cores = len({(core, socket) for _, core, socket, _ in cpus(one["lscpu"])})
    except NotSeen as error:
        cause = "lscpu is missing, or the node stopped answering"
        return bad(Status.UNKNOWN, str(error), f"{ranks} cores", cause, "inspect")
    if cores < ranks:
        cause = "more ranks than cores: Open MPI refuses to bind them"
        return bad(Status.FAIL, _many(cores, "core"), f"{ranks} ranks, each with cores of its own", cause, "inventory")
    return Verdict(
        Status.PASS, f"{_many(cores, 'core')} for {_many(ranks, 'rank')}", promise="rankfile", evidence={"cores": cores}
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _gpus(plan: Plan, host: str, one: Seen) -> Verdict:
    ranks, found = plan.ranks[host], len(gpu_affinity(one["topo"]))
    if "topo" in one.texts and "end" not in one.texts:
        return Verdict(Status.UNKNOWN, "nvidia-smi does not answer", promised=f"{ranks} GPUs", promise="gpu",
                        cause="the driver hangs", remedy="inspect")  # fmt: skip
    if found and found < ranks and plan.gpus_declared:
        return Verdict(Status.FAIL, _many(found, "GPU"), promised=_many(ranks, "GPU"), promise="gpu", remedy="inspect",
                        cause="a GPU has fallen off, or fewer are declared to be there",
                        evidence={"gpus": found}, declared={"gpus": ranks})  # fmt: skip
    if not found:
        return Verdict(Status.SKIP, "no GPU that nvidia-smi knows", promise="gpu")
    return Verdict(
        Status.PASS, f"{_many(found, 'GPU')} for {_many(ranks, 'rank')}", promise="gpu", evidence={"gpus": found}
    )


def _twins(seen: Mapping[str, Seen]) -> list[Verdict]:
    """Two names for one machine would put two hosts' ranks on the same cores and GPUs."""
    owner: dict[tuple[str, str], str] = {}
    out = []
    for host, one in seen.items():
        if one["boot"]:
            other = owner.setdefault((one["boot"], one["host"]), host)
            if other != host:
                out.append(Verdict(
                    Status.FAIL, f"{other} and {host} are the same machine, {one['host']}",
                    promised="one name for each host", cause="a host is counted twice, or a name leads astray",
                    promise="hosts_file", remedy="hosts_file", nodes=[other, host], evidence={"hostname": one["host"]},
                ))  # fmt: skip
    return out
