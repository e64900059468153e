"""Every node runs the same Open MPI, and nothing switches the declared transport off.

Looked for where mpirun's daemons are: in a session of the job user, opened by ssh without a terminal; then in a
login shell and under sudo. Where no session can be opened yet, what is on the node is judged without one.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.judging import account, cuda, mpi, ways
from ddlcheck.judging.edges import SSH
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import SESSION_USER, rank, read_all, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Wants


def wants(intent: Intent) -> Wants:
    """Ask a session of the job user on the node itself; and the files that any of its users' MPI reads."""
    declared = str(intent["ssh_mesh_user"])
    user = declared or SESSION_USER
    prefix = str(intent["openmpi_prefix"]).rstrip("/")
    ssh, script = (*SSH, "--", intent.mpi_name), mpi.quoted(mpi.SCRIPT, prefix)
    login = {"login": run("su", "-l", "-c", ways.SCRIPT, "--", declared, deadline=20.0)} if declared else {}
    aware = (
        {"cuda": run(*ssh, mpi.quoted(cuda.SCRIPT, prefix), user=user, deadline=20.0)} if intent["openmpi_cuda"] else {}
    )
    return {
        "session": run(*ssh, script, user=user, deadline=20.0),
        "local": run("sh", "-c", script, user=user, deadline=20.0),
        "sudo": run("sudo", "-n", "sh", "-c", ways.SCRIPT, deadline=20.0),
        "files": read_all(*(f"{at}/{mpi.FILE}" for at in (f"{prefix}/etc", "/etc/openmpi*", "/usr/lib64/openmpi/etc"))),
        "account": account.want(user), "hca": read_all("/sys/class/infiniband/*/node_type"), "rank": rank(),
        **login, **aware,
    }  # fmt: skip


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge one node's installation, parameters and ways in."""
    user = str(intent["ssh_mesh_user"]) or "the session's user"
    gone = account.unseen(seen["account"], seen["session"], user, intent.node)
    if gone:
        return gone
    try:
        said = mpi.sections(seen["session"])
    except NotSeen as unseen:
        return _without_session(seen, intent, unseen)
    verdict = _installed(said, seen, intent)
    if verdict.status == Status.PASS:
        _aware(verdict, seen, intent)
    if verdict.status == Status.PASS:
        _entered(verdict, said, seen, intent)
    if verdict.status == Status.PASS:
        _ranked(verdict, seen)
    return verdict


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Name the nodes whose version or build is not what most have."""
    by: dict[tuple[str, ...], list[str]] = {}
    for node, answers in seen.items():
        try:
            said = mpi.sections(answers["session"])
        except NotSeen:
            continue  # its own verdict says so
        if mpi.version(said):
            by.setdefault((mpi.version(said), *sorted(said["build"])), []).append(node)
    usual = max(by, key=lambda build: len(by[build]), default=("",))
    tie = [len(nodes) for nodes in by.values()].count(len(by.get(usual, ()))) > 1
    return [
        Verdict(
            Status.FAIL, f"Open MPI {build[0]}", promised=f"Open MPI {usual[0]}, as {len(by[usual])} nodes have",
            cause=f"{nodes[0]} has {'another build of ' * (build[0] == usual[0])}Open MPI {build[0]}, not {usual[0]}",
            remedy="openmpi", evidence={"version": build[0], "build": build[1:], "usual": usual[0]}, nodes=nodes,
            declared={"method": str(intents[nodes[0]]["openmpi_method"])},
        )
        for build, nodes in by.items() if len(by) > 1 and (tie or build != usual)
    ]  # fmt: skip


def _without_session(seen: Seen, intent: Intent, unseen: NotSeen) -> Verdict:
    """Judge what can be seen on the node itself; that it is in order there proves no session of a daemon."""
    try:
        verdict = _installed(mpi.sections(seen["local"]), seen, intent)
    except NotSeen:
        raise unseen from None
    if verdict.status != Status.FAIL:
        raise unseen
    verdict.evidence["session"] = str(unseen)
    return verdict


def _installed(said: Mapping[str, Sequence[str]], seen: Seen, intent: Intent) -> Verdict:
    """Judge version, daemon, compiler and parameters as one session has them."""
    version, path, compiler = mpi.version(said), (said["path"] or [""])[0], (said["compiler"] or [""])[0]
    now = mpi.effective(said, seen["files"].need_data(), str(intent["openmpi_prefix"]))
    off = mpi.switched_off(now, intent)
    verdict = Verdict(
        Status.FAIL, version or "no mpirun", promised="Open MPI, nothing switched off", remedy="openmpi",
        evidence={"path": said["path"], "version": version, "build": said["build"], "compiler": compiler,
                  "parameters": {key: list(at) for key, at in now.items()},
                  "hca": sorted(str(path)[:64] for path in seen["hca"].data or ())},
        declared={"transport": str(intent["openmpi_transport"]), "mca": dict(intent["openmpi_mca"]),
                  "cuda": bool(intent["openmpi_cuda"])},
    )  # fmt: skip
    if lacks := mpi.lacks(said):
        verdict.seen, verdict.cause, verdict.remedy = lacks
    elif off:
        verdict.seen, verdict.cause = off
    elif not path:
        verdict.status, verdict.seen = Status.WARN, f"{version}, not in the PATH"
        verdict.cause = "a session without a terminal finds no mpirun in its PATH: launch it by its full path"
        verdict.remedy = "inspect" if intent["openmpi_prefix"] == "/usr" else "openmpi"
    else:
        verdict.status, verdict.remedy = Status.PASS, ""
    return verdict


def _aware(verdict: Verdict, seen: Seen, intent: Intent) -> None:
    """Where CUDA-awareness is declared, say at which level it breaks."""
    if not intent["openmpi_cuda"]:
        return
    found, verdict.evidence["cuda"] = cuda.broken(seen["cuda"].need(), ucx=intent["openmpi_transport"] != "tcp")
    if found:
        verdict.status, verdict.remedy = (Status.FAIL if found.sure else Status.WARN), found.remedy
        verdict.evidence["level"], verdict.promised = found.level, "CUDA-aware Open MPI"
        verdict.seen, verdict.cause = f"{verdict.seen}, {found.seen}", f"CUDA level {found.level}: {found.cause}"


def _entered(verdict: Verdict, said: Mapping[str, Sequence[str]], seen: Seen, intent: Intent) -> None:
    """Compare what other ways in find and are told with what the session over ssh does."""
    here = ways.plain(said["path"][0])
    found: dict[str, object] = {}
    for name, words in ways.NAMES.items():
        way = ways.of(seen[name]) if name in seen else None
        found[name] = list(way[0]) if way else "not seen"
        path = ways.plain(way[0][0]) if way and way[0] else ""
        env = {key: (value, f"{words}'s environment") for key, value in mpi.environment(way[1] if way else ()).items()}
        now = {**{key: (str(at[0]), str(at[1])) for key, at in verdict.evidence["parameters"].items()}, **env}
        off = mpi.switched_off(now, intent) if env and name == "login" else None
        if way and verdict.status == Status.PASS and (path != here or off):
            # Who logs in starts jobs; sudo seldom does.
            sure = name == "login" and (path or off)
            verdict.status = Status.FAIL if sure else Status.WARN
            # What is in /usr every way in finds; and a profile of others' the role does not touch.
            verdict.remedy = "inspect" if off or intent["openmpi_prefix"] == "/usr" else "openmpi"
            verdict.seen = off[0] if off else f"{words} finds {path or 'no mpirun'}"
            verdict.cause = (
                off[1] if off else f"{words} finds {path or 'no mpirun in its PATH'}, a session over ssh {here}"
            )
    verdict.evidence["ways"] = found


def _ranked(verdict: Verdict, seen: Seen) -> None:
    """Compare with what mpirun itself started on this node, where the stage with ranks was run."""
    got = seen["rank"]
    started = got.data if not got.why and isinstance(got.data, dict) else None
    verdict.evidence["rank"] = (
        str(started.get("mpi", ""))[:120] if started else f"not measured: {got.err or got.why or 'no answer'}"
    )
    version = str(verdict.evidence["version"])
    if started and version not in str(started.get("mpi", "")):
        verdict.status, verdict.remedy, verdict.seen = Status.FAIL, "openmpi", f"{version}, but ranks have another"
        verdict.cause = (
            f"a rank that mpirun started here is of {str(started.get('mpi', ''))[:60]}, a session's mpirun {version}"
        )
    elif not started and got.why == "failed":
        verdict.status, verdict.remedy, verdict.seen = Status.WARN, "inspect", f"{version}, but no rank"
        verdict.cause = f"mpirun started no rank here ({got.err[:120]}): the promise fabric says why"
