"""At which level CUDA-awareness of an Open MPI breaks: its build, its switch, its UCX, or what UCX may use.

Asked of the installation that the job user's session runs. That `ompi_info` lists an extension ``cuda`` says nothing:
every build has the header ``mpi-ext.h``, and the one without CUDA says so in it.
"""

from __future__ import annotations

from ddlcheck.errors import NotSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NamedTuple

    class Break(NamedTuple):
        """Where it breaks: the level, what was seen, the cause, who mends it, whether it surely breaks."""

        level: str
        seen: str
        cause: str
        remedy: str
        sure: bool
else:
    from collections import namedtuple

    # typing.NamedTuple without importing typing: the node gate counts milliseconds.
    Break = namedtuple("Break", "level seen cause remedy sure")  # noqa: PYI024

# Single quotes only outside, and on one line: sh and csh pass it on alike. $1: where it is when not in the PATH.
SCRIPT = (
    "sh -c 'PATH=$PATH:$1/bin:/usr/lib64/openmpi/bin; "
    "echo @cuda; ompi_info --parsable --all | "
    'grep -E "^options:mpi_ext:|:(mpi|opal)(_built_with)?_cuda_support:(value|source):"; '
    'echo @ucx; d=$(ompi_info --parsable --path pkglibdir | sed -n "s/^path:pkglibdir://p"); '
    'l=$(ldd "$(command -v ompi_info)" | sed -n "s/.*libopen-pal[.]so[^ ]* => \\([^ ]*\\) .*/\\1/p"); e=${l%/*}; '
    'for f in "$e"/openmpi/mca_pml_ucx.so "$d"/mca_pml_ucx.so "$e"/libmpi.so.* "$l"; do '
    'u=$(ldd "$f" | sed -n "s/.*libucp[.]so[^ ]* => \\([^ ]*\\) .*/\\1/p"); [ -n "$u" ] && break; done; '
    'echo "library $u"; m=$(ls "${u%/*}"/ucx/libuct_cuda.so* | head -n 1); echo "module $m"; '
    '[ -n "$m" ] && ldd "$m" | sed -n "s/^[[:space:]]*\\([^ ]*\\) => not found/lacks \\1/p"; '
    "echo @gpu; ls -d /dev/nvidia[0-9]* /proc/driver/nvidia; "
    'echo @settings; for f in /etc/ucx/ucx.conf "${u%/*}"/../etc/ucx/ucx.conf "${u%/*}"/../etc/ucx.conf ~/ucx.conf; do '
    '[ -f "$f" ] && sed -n "s|^ *\\(UCX_[A-Z_]*\\) *= *\\(.*\\)|\\1=\\2 $f|p" "$f"; done; '
    'env | sed -n "s/^\\(UCX_.*\\)/\\1 environment/p"; '
    "echo @end' sh {} 2>/dev/null"
)
SECTIONS = ("cuda", "ucx", "gpu", "settings", "end")
#: They come with the driver, which a node without a GPU need not have.
DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1")


def broken(text: str, *, ucx: bool) -> tuple[Break | None, dict[str, object]]:
    """Return where CUDA-awareness breaks first (None: nowhere), and the evidence; ``ucx``: UCX carries the messages.

    Raises:
        NotSeen: the installation did not say how it was built.

    """
    said = _sections(text)
    params = {
        line.split(":param:")[-1].rsplit(":", 1)[0]: line.rsplit(":", 1)[1]
        for line in said["cuda"]
        if ":param:" in line
    }
    built = {params.get(f"{who}_built_with_cuda_support:value") for who in ("mpi", "opal")} - {None}
    on = {params.get(f"{who}_cuda_support:value") for who in ("mpi", "opal")} - {None}
    words = {line.partition(" ")[0]: line.partition(" ")[2] for line in said["ucx"]}
    lacks = [line.split()[1] for line in said["ucx"] if line.startswith("lacks ") and len(line.split()) > 1]
    tls, where = _tls(said["settings"])
    evidence: dict[str, object] = {
        "built": sorted(map(str, built)), "enabled": sorted(map(str, on)), "ucx": words.get("library", ""),
        "ucx_module": words.get("module", ""), "ucx_lacks": lacks, "gpu": bool(said["gpu"]), "UCX_TLS": tls,
    }  # fmt: skip
    if not built:
        raise NotSeen("ompi_info does not say whether it was built with CUDA")
    if built != {"true"}:
        return Break("build", "built without CUDA", "this Open MPI was built without CUDA "
                     "(ompi_info: mpi_built_with_cuda_support is false)", "openmpi", sure=True), evidence  # fmt: skip
    if on and on != {"true"}:
        return Break("enabled", "built with CUDA, but switched off", "opal_cuda_support is false: it was built with "
                     "CUDA, and a parameter switches that off", "openmpi", sure=True), evidence  # fmt: skip
    if not ucx:
        return None, evidence
    found = _ucx(words, lacks, gpu=bool(said["gpu"]))
    # What surely breaks is said before what was merely not seen.
    return (found if found and found.sure else _transports(tls, where) or found), evidence


def _ucx(words: Mapping[str, str], lacks: Sequence[str], *, gpu: bool) -> Break | None:
    """Say what is wrong with the UCX that this Open MPI uses."""
    library, module = words.get("library", ""), words.get("module", "")
    if not library:
        return Break("ucx", "no UCX", "its pml ucx finds no libucp: it was built without UCX, or UCX is gone",
                     "openmpi", sure=True)  # fmt: skip
    if not module:
        return Break("ucx", "UCX without CUDA", f"the UCX it uses ({library}) has no libuct_cuda.so: it was built "
                     "without CUDA", "openmpi", sure=True)  # fmt: skip
    own = [name for name in lacks if name not in DRIVER]
    if own:
        return Break(
            "ucx", f"{own[0]} is missing", f"{module} cannot be loaded: there is no {own[0]}", "openmpi", sure=True
        )
    if lacks and gpu:
        return Break("ucx", f"{lacks[0]} is missing", f"{module} cannot be loaded: there is a GPU, but no "
                     f"{lacks[0]} of its driver", "inspect", sure=True)  # fmt: skip
    if lacks:
        return Break("driver", "no NVIDIA driver", f"there is no {lacks[0]}: whether UCX loads its CUDA module here "
                     "could not be seen", "inspect", sure=False)  # fmt: skip
    return None


def _transports(tls: str, where: str) -> Break | None:
    words = {word.strip() for word in tls.lstrip("^").split(",")}
    gpus = {word for word in words if word.startswith("cuda") or word in ("gpu", "all")}
    out = bool({"cuda", "gpu", "cuda_copy"} & words) if tls.startswith("^") else bool(tls) and not gpus
    if not out:
        return None
    return Break("transports", f"UCX_TLS={tls}", f"{where} says UCX_TLS={tls}: without cuda in it, UCX takes GPU "
                 "memory for the host's, and ranks die", "openmpi", sure=True)  # fmt: skip


def _tls(lines: Sequence[str]) -> tuple[str, str]:
    """Return UCX_TLS and who says it; the environment wins over the files, a later file over an earlier one."""
    found = ("", "")
    for line in lines:
        if line.startswith("UCX_TLS="):
            value, _, where = line[len("UCX_TLS=") :].rpartition(" ")
            found = (value.strip(), "the environment" if where == "environment" else where)
    return found


def _sections(text: str) -> dict[str, list[str]]:
    """Return what was said, by section; raise `NotSeen` unless it came to its end."""
    out: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line[:1] == "@" and line[1:] in SECTIONS:
            lines = out.setdefault(line[1:], [])
        elif line.strip():
            lines.append(line.strip()[:4096])
    if len(out) != len(SECTIONS):
        raise NotSeen("the look at CUDA support broke off")
    return out
