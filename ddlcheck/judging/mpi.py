"""What a session says of its Open MPI: version, build, compiler, and which parameters are in force there."""

from __future__ import annotations

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddlcheck.intent import Intent
    from ddlcheck.wants import Answer

    Parameters = Mapping[str, tuple[str, str]]

FILE = "openmpi-mca-params.conf"
# Single quotes only outside: sh and csh pass it on alike. $1: where it is when it is not in the PATH. Barred is what
# is there and may not be executed: the shell looks for the next, and for want of one says `not found`.
SCRIPT = """sh -c '
echo @path; command -v mpirun; command -v orted || command -v prted
PATH=$PATH:$1/bin:/usr/lib64/openmpi/bin
echo @barred; (IFS=:; for d in $PATH; do for p in mpirun orted prted mpicc; do
test -e "$d/$p" && { test -x "$d/$p" || echo "$d/$p"; }; done; done)
echo @version; mpirun --version
echo @build; ompi_info --parsable -c | grep -E "^(config:(timestamp|cli)|compiler:c:version):"
echo @compiler; mpicc --showme:version 2>&1
echo @env; env | grep ^OMPI_MCA_
echo @user; cat "$HOME/.openmpi/mca-params.conf"
echo @end' sh {} 2>/dev/null"""
SECTIONS = ("path", "barred", "version", "build", "compiler", "env", "user", "end")


def quoted(script: str, prefix: str) -> str:
    """Return a script for a shell to read, with the prefix as one word of it."""
    return script.replace("{}", "'" + prefix.replace("'", "'\\''") + "'")


def sections(got: Answer) -> dict[str, list[str]]:
    """Return what a session said, by section; raise `NotSeen` unless it got to the end."""
    out: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in got.need().splitlines():
        if line[:1] == "@" and line[1:] in SECTIONS:
            lines = out.setdefault(line[1:], [])
        elif line.strip():
            lines.append(line.strip()[:4096])
    if len(out) == len(SECTIONS):
        return out
    raise NotSeen("the job user's session on the node broke off")


def version(said: Mapping[str, Sequence[str]]) -> str:
    """Return the version that mpirun prints; empty when it is no Open MPI."""
    head, _, number = (said["version"] or [""])[0].partition("(Open MPI) ")
    return number[:40] if head == "mpirun " else ""


def lacks(said: Mapping[str, Sequence[str]]) -> tuple[str, str, str] | None:
    """Return (seen, cause, remedy) of what an installation lacks to launch and to compile; None for nothing."""
    number, path, compiler = version(said), (said["path"] or [""])[0], (said["compiler"] or [""])[0]
    alone = bool(path) and len(said["path"]) < 2  # noqa: PLR2004 - mpirun, and the daemon it starts elsewhere
    wanted = ("mpirun",) if not number else ("orted", "prted") if alone else ("mpicc",)
    barred = next((at for at in said["barred"] if at.rpartition("/")[2] in wanted), "")
    if barred and not (wanted == ("mpicc",) and "Open MPI" in compiler):
        cause = f"{barred} is there and may not be executed (chmod a+x, or a file system mounted noexec)"
        return f"{number or 'no mpirun'}, but {barred} cannot be executed", cause, "inspect"
    if not number and path:
        return "no mpirun", f"{path} does not say that it is Open MPI: look at `mpirun --version`", "openmpi"
    if not number:
        where = "neither in the PATH of the job user's session nor under openmpi_prefix"
        return "no mpirun", f"there is no mpirun, {where}", "openmpi"
    if alone:
        return f"{number} without its daemon", "there is no orted or prted beside mpirun", "openmpi"
    if "Open MPI" in compiler and number not in compiler.split():
        cause = f"mpirun is {number}, but mpicc says {compiler[:60]}"
        return f"runs {number}, compiles for another", cause, "openmpi"
    return None


def settings(lines: Sequence[str]) -> dict[str, str]:
    """Return {name: value} of lines ``name = value``, comments left out; the last line of a name wins."""
    pairs = (line.partition("#")[0].partition("=") for line in lines)
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def effective(said: Mapping[str, Sequence[str]], data: object, prefix: str) -> dict[str, tuple[str, str]]:
    """Return {parameter: (value, where)}: the environment wins over the user's file, that one over the site's."""
    if not isinstance(data, dict):
        raise NotSeen("the parameter files have an unknown form")
    own, files = f"{prefix.rstrip('/')}/etc/{FILE}", {str(path): str(text) for path, text in data.items()}
    # A package's /usr reads /etc/openmpi*; an installation of its own does not.
    paths = [own] if own in files else [path for path in sorted(files) if prefix == "/usr"]
    site = [(path, settings(files[path].splitlines())) for path in paths]
    user = ("~/.openmpi/mca-params.conf", settings(said["user"]))
    layers = (*site, user, ("the environment (OMPI_MCA_*)", environment(said["env"])))
    return {key: (value, where) for where, found in layers for key, value in found.items()}


def environment(lines: Sequence[str]) -> dict[str, str]:
    """Return {parameter: value} of variables OMPI_MCA_*."""
    found = settings(lines).items()
    return {key[len("OMPI_MCA_") :]: value for key, value in found if key.startswith("OMPI_MCA_")}


def switched_off(now: Parameters, intent: Intent) -> tuple[str, str] | None:
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
