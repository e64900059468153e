"""Nodes that are network namespaces: an own host name, an own interface, real TCP between them; needs root.

Lighter than the practice cluster (no systemd, no sshd), and enough for what MPI can run into on a network.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Self

AGENT = """#!/bin/sh
# Stands where ssh stands: HOST COMMAND..., after options (Hydra's -x).
while [ "${1#-}" != "$1" ]; do shift; done
host=$1 name=$1
shift
# What makes a node differ from the others: its PATH, or the name it answers to.
[ ! -e "${0%/*}/$host.sh" ] || . "${0%/*}/$host.sh"
exec ip netns exec "$host" unshare --uts sh -c "hostname $name; $*"
"""


def _ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True, capture_output=True)


class Namespaces:
    """``n`` nodes ``{prefix}1 …`` on one bridge, 10.{net}.0.1 and up on ``eth0``."""

    def __init__(self, n: int, directory: Path, *, prefix: str = "fx", net: int = 77) -> None:
        self.names = [f"{prefix}{i + 1}" for i in range(n)]
        self.bridge = f"{prefix}-br"
        self.net = net
        self.agent = directory / "agent"
        self.directory = directory

    def __enter__(self) -> Self:
        self._down()
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("link", "set", self.bridge, "up")
        hosts = "127.0.0.1 localhost\n" + "".join(f"{self.address(n)} {n}\n" for n in self.names)
        for name in self.names:
            _ip("netns", "add", name)
            _ip("link", "add", f"{name}-v", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{name}-v", "master", self.bridge, "up")
            _ip("-n", name, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            etc = Path("/etc/netns") / name
            etc.mkdir(parents=True, exist_ok=True)
            (etc / "hosts").write_text(hosts)
        self.agent.write_text(AGENT)
        self.agent.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        self._down()

    def _down(self) -> None:
        for name in self.names:
            for pid in self.pids(name):
                with contextlib.suppress(OSError):
                    subprocess.run(["kill", "-KILL", str(pid)], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
            subprocess.run(["ip", "link", "del", f"{name}-v"], check=False, capture_output=True)
            etc = Path("/etc/netns") / name
            (etc / "hosts").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                etc.rmdir()
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)

    def address(self, name: str) -> str:
        return f"10.{self.net}.0.{self.names.index(name) + 1}"

    def pids(self, name: str) -> list[int]:
        """Every process in a node: what a run must not leave behind."""
        done = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True)
        return [int(x) for x in done.stdout.split()]

    def enter(self, name: str) -> list[str]:
        """Return the prefix that runs a command on a node."""
        script = f'hostname {name}; exec "$@"'
        return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", script, "sh"]

    def differs(self, name: str, script: str) -> None:
        """Let a node's daemon start after ``script``; empty for no difference."""
        path = self.directory / f"{name}.sh"
        path.write_text(script) if script else path.unlink(missing_ok=True)

    def run(self, name: str, *argv: str) -> None:
        subprocess.run([*self.enter(name), *argv], check=True, capture_output=True)

    def shape(self, name: str, rate: str) -> None:
        """Give what a node sends no more than ``rate``."""
        self.run(
            name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "64kb", "latency", "50ms"
        )

    def block(self, name: str, other: str, *, reject: bool = False) -> None:
        """Let no packet leave one node for another: dropped silently, or refused."""
        how = ["REJECT", "--reject-with", "tcp-reset"] if reject else ["DROP"]
        self.run(name, "iptables", "-A", "OUTPUT", "-p", "tcp", "-d", self.address(other), "-j", *how)
