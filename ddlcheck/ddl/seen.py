"""What a node says before a launch: the question, a POSIX shell script, and how its answer is read."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ddlcheck.ddl.detect import LSCPU, TOPO

#: Read by ``sh -s`` from stdin, so that no login shell's quoting matters; nvidia-smi last, since it can hang.
#: ulimit comes first: this is the very session that a daemon's ranks inherit their limits from.
_SCRIPT = """\
exec 2>/dev/null
say() {{ echo "@ddlcheck $1"; }}
say memlock; ulimit -S -l
say host; uname -n
say boot; cat /proc/sys/kernel/random/boot_id
say rdma; ls /sys/class/infiniband
{more}P={prefix}; D={daemon}
if [ -n "$P" ]; then I=$P/bin/ompi_info; D=$P/bin/$D; M=$P/bin/mpirun; else I=ompi_info; M=mpirun; fi
say daemon; command -v "$D"
say mpi; "$I" --version || "$M" --version
say build; "$I" --parsable --config | grep '^config:cli:'
say lscpu; {lscpu}
say done
say topo; {topo}
say end
exit 0
"""
#: What a node may say at most; the rest is not read.
MAX_BYTES = 256 * 1024


def script(daemon: str, prefix: str = "", more: str = "") -> str:
    """Return the question; ``prefix`` is where the launching host's Open MPI is, if mpirun will say it.

    ``more`` are further lines, which begin their parts with ``say NAME``.
    """
    return _SCRIPT.format(
        prefix=shlex.quote(prefix), daemon=shlex.quote(daemon), lscpu=shlex.join(LSCPU), topo=shlex.join(TOPO),
        more=more,
    )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One node's answer; ``reason`` (of `NodeError`) and ``error`` say why there is none, or not all."""

    texts: dict[str, str]
    reason: str = ""
    error: str = ""

    def __getitem__(self, name: str) -> str:
        """Return one part's text, empty when the node did not come to it."""
        return self.texts.get(name, "")

    @property
    def reached(self) -> bool:
        """Whether a shell on the node answered at all."""
        return "host" in self.texts


def read(text: str, reason: str = "", error: str = "") -> Seen:
    """Read an answer; what a login prints before our first word is passed over."""
    texts: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("@ddlcheck "):
            name = line.removeprefix("@ddlcheck ").strip()[:20]
            texts[name] = ""
        elif name:
            texts[name] += line + "\n"
    # Not all white space: nvidia-smi's heading begins with the tab of an empty cell.
    return Seen({name: body.strip("\r\n") for name, body in texts.items()}, reason, error)
