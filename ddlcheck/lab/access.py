"""How the lab is reached: its key, the nodes' pinned host keys, an ssh configuration, an inventory."""

from __future__ import annotations

import hashlib
import json
import resource
from typing import TYPE_CHECKING

from ddlcheck.lab.host import CAP_SYS_RESOURCE, has_capability, run

if TYPE_CHECKING:
    from pathlib import Path

    from ddlcheck.lab.cluster import Lab
    from ddlcheck.lab.nodes import Node

Value = str | bool | float | list[str] | list[dict[str, str | bool]]


def make_key(path: Path, comment: str) -> str:
    """Make an ed25519 key pair without a passphrase; return its public half."""
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    return path.with_name(path.name + ".pub").read_text()


def ssh_options(lab: Lab) -> list[str]:
    """Return the options that make ssh strict about the lab's hosts, and quiet about the user's own keys."""
    return [
        "-o",
        f"UserKnownHostsFile={lab.known_hosts}",
        "-o",
        "GlobalKnownHostsFile=/dev/null",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "IdentitiesOnly=yes",
    ]


def write(lab: Lab, host_keys: dict[str, list[str]]) -> None:
    """Write known_hosts, ssh_config and the inventory of a lab; ``host_keys`` are public keys by node."""
    lab.known_hosts.write_text(
        "".join(
            f"{node.name},{node.fabric_name},{node.address},{node.fabric_address} {' '.join(key.split()[:2])}\n"
            for node in lab.nodes
            for key in host_keys[node.name]
        )
    )
    lab.ssh_config.write_text(_ssh_config(lab))
    (lab.inventory / "group_vars").mkdir(parents=True, exist_ok=True)
    (lab.inventory / "hosts.yml").write_text(_hosts(lab))
    (lab.inventory / "group_vars" / "all.yml").write_text(_group_variables(lab))


def _ssh_config(lab: Lab) -> str:
    hosts = [
        f"Host {node.name} {node.fabric_name}\n  HostName {node.address}\n  HostKeyAlias {node.name}\n"
        for node in lab.nodes
    ]
    common = [
        "Host *",
        "  User admin",
        f"  IdentityFile {lab.key}",
        "  IdentitiesOnly yes",
        f"  UserKnownHostsFile {lab.known_hosts}",
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        "  ConnectTimeout 10",
        "",
    ]
    return "".join(hosts) + "\n".join(common)


def variables(lab: Lab) -> dict[str, tuple[Value, str]]:
    """Return what is declared of every node: the one place where the lab states its intent.

    A value comes with the comment that is written beside it ("" for none).
    """
    limit, why = memlock_limit()
    shared: list[dict[str, str | bool]] = [
        {"path": "/srv/shared", "source": "/export/shared", "fstype": "none", "options": "bind,nofail,nosuid,nodev",
         "rename": True, "lock": True},
    ]  # fmt: skip
    return {
        "ansible_user": ("admin", ""),
        "ansible_become": (True, ""),
        "ansible_ssh_private_key_file": (str(lab.key), ""),
        "ansible_python_interpreter": ("/usr/bin/python3", ""),
        "ansible_ssh_common_args": (" ".join(ssh_options(lab)), "pinned host keys: no prompt"),
        "hostname_policy": ("ib", ""),
        "ssh_mesh_user": ("ddl", ""),
        "interfaces_fabric": ("ib0", ""),
        "memlock_limit": (limit, why),
        "clock_adjust": (False, "the clock is the host's, which no node may set"),
        "nfs_mounts": (
            shared,
            "no NFS in this kernel's nodes: one file system of the host is at /export/shared of each",
        ),
        "dataset_sets": ([dataset(lab)], "made by `ddlcheck lab up`, and copied to each node's own disk"),
        "fabric_shared_cores": (True, "the nodes compete for this host's cores: a slow pair is in doubt, not broken"),
    }


def dataset(lab: Lab) -> dict[str, str | bool]:
    """Return what is declared of the lab's data set, which is small but has all that a data set has."""
    manifest = lab.directory / "digits.manifest"
    return {
        "name": "digits", "dest": "/data/digits", "mode": "local", "method": "copy", "source": "/export/shared/digits",
        "manifest": str(manifest), "digest": hashlib.sha256(manifest.read_bytes()).hexdigest(), "owner": "ddl",
    }  # fmt: skip


def host_variables(node: Node) -> dict[str, Value]:
    """Return what is declared of one node."""
    first = node.lab.nodes[0]
    # There is no time server in the lab: the first node is everybody else's.
    clock: dict[str, Value] = {"clock_serve": True} if node == first else {
        "clock_servers": [first.address], "clock_minpoll": 2, "clock_maxpoll": 4,
    }  # fmt: skip
    return {
        "ansible_host": node.address,
        "hostname_fabric_name": node.fabric_name,
        "interfaces_fabric_address": node.fabric_address,
        **clock,
    }


def memlock_limit() -> tuple[Value, str]:
    """Return the locked-memory limit that can be promised here, and why it is that one."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if has_capability(CAP_SYS_RESOURCE) or hard == resource.RLIM_INFINITY:
        return "unlimited", ""
    return hard // 1024, "KiB: this host cannot raise a hard limit (no CAP_SYS_RESOURCE), and has this one"


def _yaml(value: Value) -> str:
    # JSON's scalars and lists are YAML's, quoted beyond doubt.
    return json.dumps(value)


def _group_variables(lab: Lab) -> str:
    lines = ["---", f"# Of the practice cluster {lab.name}; written by `ddlcheck lab up`."]
    for name, (value, why) in variables(lab).items():
        lines += [f"# {why}"] if why else []
        lines.append(f"{name}: {_yaml(value)}")
    return "\n".join(lines) + "\n"


def _hosts(lab: Lab) -> str:
    lines = ["---", "all:", "  hosts:"]
    for node in lab.nodes:
        lines.append(f"    {node.name}:")
        lines += [f"      {name}: {_yaml(value)}" for name, value in host_variables(node).items()]
    return "\n".join(lines) + "\n"
