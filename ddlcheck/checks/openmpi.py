"""Every node runs the same Open MPI, and nothing switches the declared transport off.

Looked for where mpirun's daemons are: in a session of the job user, opened by ssh without a terminal.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen
from ddlcheck.judging import account
from ddlcheck.judging.edges import SSH
from ddlcheck.verdict import Status, Verdict
from ddlcheck.wants import SESSION_USER, read_all, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddlcheck.checks import Seen
    from ddlcheck.intent import Intent
    from ddlcheck.wants import Wants

FILE = "openmpi-mca-params.conf"
# Single quotes only outside: sh and csh pass it on alike. $1: where it is when it is not in the PATH.
SCRIPT = """sh -c '
echo @path; command -v mpirun; command -v orted || command -v prted
PATH=$PATH:$1/bin:/usr/lib64/openmpi/bin
echo @version; mpirun --version
echo @build; ompi_info --parsable -c | grep -E "^(config:(timestamp|cli)|compiler:c:version):"
echo @compiler; mpicc --showme:version 2>&1
echo @env; env | grep ^OMPI_MCA_
echo @user; cat "$HOME/.openmpi/mca-params.conf"
echo @end' sh {} 2>/dev/null"""
SECTIONS = ("path", "version", "build", "compiler", "env", "user", "end")


def wants(intent: Intent) -> Wants:
    """Ask a session of the job user on the node itself; and the files that any of its users' MPI reads."""
    user = str(intent["ssh_mesh_user"]) or SESSION_USER
    prefix = str(intent["openmpi_prefix"]).rstrip("/")
    script = SCRIPT.replace("{}", "'" + prefix.replace("'", "'\\''") + "'")
    return {
        "session": run(*SSH, "--", intent.mpi_name, script, user=user, deadline=20.0),
        "files": read_all(f"{prefix}/etc/{FILE}", f"/etc/openmpi*/{FILE}", f"/usr/lib64/openmpi/etc/{FILE}"),
        "account": account.want(user),
        "hca": read_all("/sys/class/infiniband/*/node_type"),
    }


def judge(seen: Seen, intent: Intent) -> Verdict:
    """Judge one node's installation and parameters."""
    user = str(intent["ssh_mesh_user"]) or "the session's user"
    gone = account.unseen(seen["account"], seen["session"], user, intent.node)
    if gone:
        return gone
    said = _sections(seen)
    version, path, compiler = _version(said), (said["path"] or [""])[0], (said["compiler"] or [""])[0]
    now = _effective(said, seen["files"].need_data(), str(intent["openmpi_prefix"]))
    off = _switched_off(now, intent)
    verdict = Verdict(
        Status.FAIL, version or "no mpirun", promised="Open MPI, nothing switched off", remedy="openmpi",
        evidence={"path": said["path"], "version": version, "build": said["build"], "compiler": compiler,
                  "parameters": {key: list(at) for key, at in now.items()},
                  "hca": sorted(str(path)[:64] for path in seen["hca"].data or ())},
        declared={"transport": str(intent["openmpi_transport"]), "mca": dict(intent["openmpi_mca"])},
    )  # fmt: skip
    if not version:
        verdict.cause = "there is no mpirun, neither in the PATH of the job user's session nor under openmpi_prefix"
        if path:
            verdict.cause = f"{path} does not say that it is Open MPI: look at `mpirun --version`"
    elif path and len(said["path"]) < 2:  # noqa: PLR2004 - mpirun, and the daemon it starts elsewhere
        verdict.seen, verdict.cause = f"{version} without its daemon", "there is no orted or prted beside mpirun"
    elif "Open MPI" in compiler and version not in compiler.split():
        verdict.seen = f"runs {version}, compiles for another"
        verdict.cause = f"mpirun is {version}, but mpicc says {compiler[:60]}"
    elif off:
        verdict.seen, verdict.cause = off
    elif not path:
        verdict.status, verdict.remedy, verdict.seen = Status.WARN, "inspect", f"{version}, not in the PATH"
        verdict.cause = "a session without a terminal finds no mpirun in its PATH: launch it by its full path"
    else:
        verdict.status, verdict.remedy = Status.PASS, ""
    return verdict


def judge_together(seen: Mapping[str, Seen], intents: Mapping[str, Intent]) -> Sequence[Verdict]:
    """Name the nodes whose version or build is not what most have."""
    by: dict[tuple[str, ...], list[str]] = {}
    for node, answers in seen.items():
        try:
            said = _sections(answers)
        except NotSeen:
            continue  # its own verdict says so
        if _version(said):
            by.setdefault((_version(said), *sorted(said["build"])), []).append(node)
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


def _sections(seen: Seen) -> dict[str, list[str]]:
    """Return what the session said, by section; raise `NotSeen` unless it got to the end."""
    out: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in seen["session"].need().splitlines():
        if line[:1] == "@" and line[1:] in SECTIONS:
            lines = out.setdefault(line[1:], [])
        elif line.strip():
            lines.append(line.strip()[:4096])
    if len(out) == len(SECTIONS):
        return out
    raise NotSeen("the job user's session on the node broke off")


def _version(said: Mapping[str, Sequence[str]]) -> str:
    head, _, version = (said["version"] or [""])[0].partition("(Open MPI) ")
    return version[:40] if head == "mpirun " else ""


def _settings(lines: Sequence[str]) -> dict[str, str]:
    pairs = (line.partition("#")[0].partition("=") for line in lines)
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _effective(said: Mapping[str, Sequence[str]], data: object, prefix: str) -> dict[str, tuple[str, str]]:
    """Return {parameter: (value, where)}: the environment wins over the user's file, that one over the site's."""
    if not isinstance(data, dict):
        raise NotSeen("the parameter files have an unknown form")
    own, files = f"{prefix.rstrip('/')}/etc/{FILE}", {str(path): str(text) for path, text in data.items()}
    # A package's /usr reads /etc/openmpi*; an installation of its own does not.
    paths = [own] if own in files else [path for path in sorted(files) if prefix == "/usr"]
    env = {key[len("OMPI_MCA_") :]: value for key, value in _settings(said["env"]).items()}
    site = [(path, _settings(files[path].splitlines())) for path in paths]
    user = ("~/.openmpi/mca-params.conf", _settings(said["user"]))
    layers = (*site, user, ("the environment (OMPI_MCA_*)", env))
    return {key: (value, where) for where, found in layers for key, value in found.items()}


def _switched_off(now: Mapping[str, tuple[str, str]], intent: Intent) -> tuple[str, str] | None:
    """Return (seen, cause) of a parameter against what is declared."""
    for key, wanted in intent["openmpi_mca"].items():
        got, where = now.get(str(key), ("nothing", FILE))
        if got != str(wanted):
            return f"{key} is {got}", f"{where} says {key} = {got}, declared is {wanted}"
    value, where = now.get("pml", ("", ""))
    words = value.lstrip("^").split(",")
    out = "ucx" in words if value.startswith("^") else bool(value) and not {"ucx", "cm"} & set(words)
    if out and "pml" not in intent["openmpi_mca"] and intent["openmpi_transport"] != "tcp":
        return f"pml = {value}", f"{where} says pml = {value}: UCX, and with it InfiniBand, is off"
    return None
