"""A lab: its name, its nodes, and where everything of it is."""

from __future__ import annotations

import contextlib
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.lab import host, network
from ddlcheck.lab.nodes import Node

if TYPE_CHECKING:
    from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9]{0,7}")


def valid_name(name: str) -> str:
    """Return ``name`` if a lab may bear it.

    Raises:
        UsageError: it may not, and how it should look.

    """
    if not NAME.fullmatch(name):
        raise UsageError(f"a lab cannot be called {name!r}: a to z, then up to seven of a to z and 0 to 9")
    return name


def valid_size(nodes: int) -> int:
    """Return ``nodes`` if a lab may have that many.

    Raises:
        UsageError: it may not.

    """
    if not 1 <= nodes <= network.NODES_MAX:
        raise UsageError(f"a lab has 1 to {network.NODES_MAX} nodes, not {nodes}")
    return nodes


@dataclass(frozen=True)
class Lab:
    """A lab called ``name`` of ``size`` nodes, its networks numbered from ``base``."""

    name: str
    size: int
    base: str

    @classmethod
    def load(cls, name: str) -> Lab:
        """Return the lab of that name.

        Raises:
            UsageError: there is none; nothing is said of whether its nodes run.

        """
        records = _directory(valid_name(name)) / "state.json"
        try:
            said = json.loads(records.read_text())
            return cls(name, valid_size(int(said["nodes"])), str(said["base"]))
        except PermissionError:
            raise UsageError("the lab is root's: run this with sudo") from None
        except FileNotFoundError:
            raise UsageError(f"no lab is called {name}: `ddlcheck lab up --name {name}` makes it") from None
        except (ValueError, KeyError) as broken:
            again = f"`ddlcheck lab down --name {name}`, then up again"
            raise UsageError(f"{records} cannot be read: {again}") from broken

    @property
    def directory(self) -> Path:
        """Return where everything of it is kept."""
        return _directory(self.name)

    @property
    def network(self) -> network.Network:
        """Return its networks."""
        return network.Network(self.name, self.base)

    @property
    def nodes(self) -> list[Node]:
        """Return its nodes, minsky1 first."""
        return [Node(self, index) for index in range(1, self.size + 1)]

    @property
    def key(self) -> Path:
        """Return the private key the nodes' ``admin`` lets in."""
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Return the nodes' pinned host keys."""
        return self.directory / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """Return a configuration for ``ssh -F``."""
        return self.directory / "ssh_config"

    @property
    def inventory(self) -> Path:
        """Return the directory of the Ansible inventory."""
        return self.directory / "inventory"

    @property
    def shared(self) -> Path:
        """Return the file system that every node has at /export/shared, in the place of a file server's."""
        return self.directory / "shared"

    def node(self, name: str) -> Node:
        """Return the node of that name (minsky1 or ib1).

        Raises:
            UsageError: there is none.

        """
        for node in self.nodes:
            if name in (node.name, node.fabric_name):
                return node
        there = f"{self.nodes[0].name} to {self.nodes[-1].name}"
        raise UsageError(f"lab {self.name} has no node {name!r}: it has {there}")

    def ssh(self, node: Node, *words: str) -> list[str]:
        """Return the command line that logs in to a node as ``admin``."""
        return ["ssh", "-F", str(self.ssh_config), node.name, *words]

    def injected(self, node: Node) -> list[str]:
        """Return the names of the faults that `break` put into a node and `heal` has not taken out."""
        return self._injected().get(node.name, [])

    def record(self, node: Node, faults: list[str]) -> None:
        """Remember which faults are in a node."""
        every = {**self._injected(), node.name: faults}
        records = self.directory / "faults.json"
        fresh = records.with_suffix(".new")
        fresh.write_text(json.dumps({name: some for name, some in every.items() if some}))
        fresh.replace(records)

    def _injected(self) -> dict[str, list[str]]:
        try:
            return {str(node): [str(name) for name in some]
                    for node, some in json.loads((self.directory / "faults.json").read_text()).items()}  # fmt: skip
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # what is healed then is said to be unknown, and healed all the same

    def silent(self, timeout: float) -> list[Node]:
        """Wait until every node lets us in over ssh; return those that did not within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(partial(_answers, deadline=deadline), self.nodes))
        return [node for node, answered in zip(self.nodes, answers, strict=True) if not answered]


def names() -> list[str]:
    """Return the names of the labs that have records on this machine."""
    return sorted(path.name for path in host.LABS.glob("*") if path.is_dir())


def _directory(name: str) -> Path:
    return host.LABS / name


def _answers(node: Node, deadline: float) -> bool:
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    argv = ["ssh", "-F", str(node.lab.ssh_config), *options, node.name, "true"]
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(DdlcheckError):
            host.run(argv, timeout=max(left, 1))
            return True
        time.sleep(0.2)
    return False
