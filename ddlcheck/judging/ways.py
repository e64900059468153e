"""The ways into a node besides ssh: a login shell and sudo; which mpirun they find, and what they are told."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddlcheck.wants import Answer

#: Prints what a session is like; single quotes only outside and on one line, so that every shell passes it on.
SCRIPT = (
    'sh -c \'echo @path; command -v mpirun; readlink -f "$(command -v mpirun)"; '
    'echo @env; env | grep -E "^(OMPI_MCA_|UCX_)"; echo @end\''
)
NAMES: Mapping[str, str] = {"login": "a login shell", "sudo": "sudo"}


def of(got: Answer) -> tuple[list[str], list[str]] | None:
    """Return ([mpirun, the file it is], [variable=value, …]) of one way in; None where there is no such way."""
    if got.why or "@end" not in got.text.split():
        return None
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in got.text.splitlines():
        if line in ("@path", "@env", "@end"):
            lines = parts.setdefault(line, [])
        elif line.strip():
            lines.append(line.strip()[:1024])
    return parts.get("@path", []), parts.get("@env", [])


def plain(path: str) -> str:
    """Return a program's path as it is named where /bin is a link to /usr/bin."""
    return path if not path.startswith("/bin/") else f"/usr{path}"
