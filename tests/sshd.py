"""A real sshd on loopback, one for each way it can misbehave."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import pathlib
import socket
import subprocess
import time

import pytest

from ddlcheck.inventory import Node


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def keygen(path: pathlib.Path, *more: str) -> pathlib.Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path), *more], check=True)
    return path


@dataclasses.dataclass
class Sshd:
    """A running sshd, and how to reach it."""

    folder: pathlib.Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def known_hosts(self) -> pathlib.Path:
        return self.folder / "known_hosts"

    def pin(self, key: pathlib.Path | None = None, name: str = "") -> None:
        public = pathlib.Path(f"{key or self.folder / 'host'}.pub").read_text().split()
        self.known_hosts.write_text(f"{name or f'[127.0.0.1]:{self.port}'} {public[0]} {public[1]}\n")

    def node(self, **changes) -> Node:
        options = changes.pop("options", "")
        return Node(
            **{
                "name": "n1",
                "address": "127.0.0.1",
                "port": self.port,
                "user": getpass.getuser(),
                "key_file": str(self.folder / "user"),
                "ssh_options": (
                    f"-F none -o UserKnownHostsFile={self.known_hosts} -o IdentitiesOnly=yes -o IdentityAgent=none",
                    options,
                ),
                **changes,
            }
        )


@contextlib.contextmanager
def running(folder: pathlib.Path, *settings: str):
    keygen(folder / "host")
    if not (folder / "user").exists():
        keygen(folder / "user")
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    port = free_port()
    argv = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", str(folder / "host"), "-p", str(port)]
    for setting in (
        *settings, "ListenAddress=127.0.0.1", f"AuthorizedKeysFile={folder / 'authorized'}", "StrictModes=no",
        "PidFile=none", "UsePAM=no", "PermitRootLogin=yes",
    ):  # fmt: skip
        argv += ["-o", setting]
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"sshd did not start: {(folder / 'log').read_text()}")
        sshd = Sshd(folder, port, process)
        sshd.pin()
        yield sshd
    finally:
        process.terminate()
        process.wait(5)
