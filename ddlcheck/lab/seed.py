"""What makes one node differ from the next, put into its tree before it first boots."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from ddlcheck.lab.host import CAP_SYS_RESOURCE, has_capability, run
from ddlcheck.lab.network import SWITCH
from ddlcheck.lab.packages import PORT

if TYPE_CHECKING:
    from pathlib import Path

    from ddlcheck.lab.nodes import Node

# Debian's own file, down to the second line that trips MPI up.
HOSTS = """\
127.0.0.1\tlocalhost
127.0.1.1\t{name}

# The following lines are desirable for IPv6 capable hosts
::1     localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""
INTERFACES = """\
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address {eth0}/24

auto ib0
iface ib0 inet static
    address {ib0}/24
"""


def seed(node: Node, image: Path, authorized: str) -> list[str]:
    """Mount the node's tree over the image and give it its identity; return its public host keys."""
    for name in ("upper", "work", "root"):
        (node.directory / name).mkdir(parents=True)
    layers = f"lowerdir={image},upperdir={node.directory / 'upper'},workdir={node.directory / 'work'}"
    run(["mount", "-t", "overlay", node.machine, "-o", layers, node.root])
    etc = node.root / "etc"
    proxy = f"http://{node.lab.network.address('eth0', SWITCH)}:{PORT}"
    files = {
        "hostname": f"{node.name}\n",
        "hosts": HOSTS.format(name=node.name),
        "machine-id": f"{uuid.uuid4().hex}\n",
        "network/interfaces": INTERFACES.format(eth0=node.address, ib0=node.fabric_address),
        "apt/apt.conf.d/80lab-proxy": f'Acquire::http::Proxy "{proxy}";\n',
    }
    if has_capability(CAP_SYS_RESOURCE):
        # Debian's pam_limits gives a session the limits of process 1, which raised its own where it could:
        # without this the 64 KiB of sshd would not be the session's.
        files["security/limits.d/10-memlock.conf"] = "* - memlock 64\nroot - memlock 64\n"
    for name, content in files.items():
        (etc / name).write_text(content)
    keys = []
    for kind in ("ed25519", "ecdsa"):
        path = etc / "ssh" / f"ssh_host_{kind}_key"
        run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"root@{node.name}", "-f", path])
        keys.append(path.with_name(path.name + ".pub").read_text())
    home = node.root / "home" / "admin"
    owner = home.stat()
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700)
    (ssh / "authorized_keys").write_text(authorized)
    for path in (ssh, ssh / "authorized_keys"):
        os.chown(path, owner.st_uid, owner.st_gid)
    return keys
