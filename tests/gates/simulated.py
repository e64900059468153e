"""Nodes of paper on this machine: an inventory of local connections, and programs that answer as a node would.

What is simulated is what a node says; asking, the shell script that is run for every node, reading and judging are real.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

_UNAME = '#!/bin/sh\necho "$DDLCHECK_NODE"\n'
# The address is the name's number: the same on every node.
_GETENT = """#!/bin/sh
[ -e "$SIMULATED/$DDLCHECK_NODE.names" ] && exec cat "$SIMULATED/$DDLCHECK_NODE.names"
shift
for name in "$@"; do
  n=${name#n}; n=${n#0}; n=${n#0}; n=${n#0}
  echo "10.0.$((n / 250)).$((n % 250 + 1)) STREAM $name"
done
"""
_MPI = "#!/bin/sh\necho 'mpirun (Open MPI) 4.1.4'\n"
_INFO = "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Open MPI v4.1.4' || echo \"config:cli: '--prefix=/usr'\"\n"
_LSCPU = "#!/bin/sh\necho 0,0,0,0\necho 1,1,0,0\n"
_GATE = """#!/bin/sh
for f in "$SIMULATED/$DDLCHECK_NODE.gate" "$SIMULATED/every.gate"; do [ ! -e "$f" ] || exec sh "$f"; done
"""


def verdicts(**status: str) -> str:
    """Return what a gate prints, by promise."""
    return json.dumps({"schema": 1, "node": "x", "exit": 0, "verdicts": [
        {"status": word, "promise": name, "seen": "as it is", "cause": "it is so", "declared": {}}
        for name, word in status.items()]})  # fmt: skip


class Simulated:
    """``count`` nodes n0001, n0002, …; what one of them says otherwise is put beside them."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.names = [f"n{index:04}" for index in range(1, count + 1)]
        programs = {"uname": _UNAME, "getent": _GETENT, "mpirun": _MPI, "orted": _MPI, "ompi_info": _INFO,
                    "lscpu": _LSCPU, "gate": _GATE, "nvidia-smi": "#!/bin/sh\n"}  # fmt: skip
        for name, text in programs.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.gate("every", verdicts(memlock="PASS"))
        self.inventory = folder / "hosts.yml"
        self.inventory.write_text(
            "all:\n  vars:\n    ansible_connection: local\n    memlock_limit: 64\n  hosts:\n"
            + "".join(f"    {name}:\n" for name in self.names)
        )

    def gate(self, node: str, says: str, status: int = 0) -> None:
        """Have a node's gate say this."""
        (self.folder / f"{node}.says").write_text(says)
        (self.folder / f"{node}.gate").write_text(f'cat "{self.folder / node}.says"; exit {status}\n')

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return an environment in which these programs come first, outside of any job."""
        clean = {k: v for k, v in base.items() if not k.startswith(("SLURM_", "PBS_", "LSB_", "FLUX_"))}
        return {**clean, "PATH": f"{self.bin}:{base['PATH']}", "SIMULATED": str(self.folder)}

    @property
    def words(self) -> list[str]:
        """Return the words by which `ddlcheck gate` asks them."""
        return ["--inventory", str(self.inventory), "--launcher", str(self.bin / "gate"), "--budget", "0"]
