"""One fault, and what faults are made of: scripts that run as a node's root and can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddlcheck.errors import DdlcheckError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddlcheck.lab.nodes import Node

    Act = Callable[[Node], None]

#: Stands for the promise of faults that keep a node from being asked at all: every promise is unknown then.
EVERY = "every promise"
#: What a node keeps aside while a fault is in it, so that `heal` can put it back.
KEEP = "/var/lib/ddlcheck-faults"
#: Other promises that may fail because of a fault.
MESH, MPI = frozenset({"ssh_mesh"}), frozenset({"openmpi"})
OFF_FABRIC = MESH | MPI
#: Has sshd read what was changed of it and of its unit.
RESTART = "systemctl daemon-reload; systemctl reset-failed ssh 2>/dev/null || :; systemctl restart ssh"

# keep FILE: put a copy aside, once. back FILE: put it back, or remove what was not there; `hurt` is set where that
# changed anything, which it does not after a role has mended the file.
_TOOLS = f"""\
set -eu
keep() {{ mkdir -p "{KEEP}$(dirname "$1")"; [ -e "{KEEP}$1" ] || [ -e "{KEEP}$1.none" ] ||
  if [ -e "$1" ]; then cp -a "$1" "{KEEP}$1"; else : > "{KEEP}$1.none"; fi; }}
back() {{ if [ -e "{KEEP}$1" ]; then
    if cmp -s "{KEEP}$1" "$1"; then rm "{KEEP}$1"; else mv -f "{KEEP}$1" "$1"; hurt=1; fi
  elif [ -e "{KEEP}$1.none" ]; then [ ! -e "$1" ] || {{ rm "$1"; hurt=1; }}; rm "{KEEP}$1.none"; fi; }}
job=/home/ddl
"""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong on one node.

    ``cause`` is a regular expression that the verdict must match; ``remedy`` is the role that mends it, empty
    where only ``heal`` does; ``allowed`` are other promises that may fail as a consequence, also on other nodes.
    """

    name: str
    title: str
    promise: str
    cause: str
    inject: Act
    heal: Act
    remedy: str = ""
    allowed: frozenset[str] = frozenset()
    status: str = "FAIL"
    on: str = "node"  # or "nodes": the verdict names others, too


def words(script: str, node: Node) -> list[str]:
    """Return the command of a script, which knows its node, the node's next peer, and `keep` and `back`."""
    peer = node.lab.nodes[node.index % node.lab.size]
    facts = {"me": node.name, "ib": node.fabric_name, "address": node.address, "peer": peer.name,
             "peer_ib": peer.fabric_name, "peer_address": peer.fabric_address,"net": node.fabric_address}  # fmt: skip
    return ["env", *(f"{key}={value}" for key, value in facts.items()), "sh", "-c", _TOOLS + script]


def run(node: Node, script: str) -> None:
    """Run a script as the node's root. Raise `DdlcheckError` where it fails."""
    done = node.run(words(script, node), timeout=60)
    if done.returncode:
        raise DdlcheckError(f"{node.name}: {(done.stderr or done.stdout).strip()[-300:] or done.returncode}")


def sh(script: str) -> Act:
    """Return what runs a script on the node."""
    return lambda node: run(node, script)


def on_both(script: str) -> Act:
    """Return what runs a script on the node and on its next peer."""

    def act(node: Node) -> None:
        for each in (node, node.lab.nodes[node.index % node.lab.size]):
            run(each, script)

    return act


def files(*paths: str, then: str = "") -> Act:
    """Return a cure that puts files back as they were; ``then`` runs only where something was put aside."""
    asked = " ".join(f'"{path}"' for path in paths)
    return sh(f'hurt=; for f in {asked}; do back "$f"; done; [ -z "$hurt" ] || {{ {then or ":"}; }}')
