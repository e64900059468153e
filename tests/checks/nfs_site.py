"""Nodes that all mount one export over NFS, healthy until a test changes something."""

from __future__ import annotations

import copy

from ddlcheck import run
from ddlcheck.checks import nfs
from ddlcheck.intent import Intent
from ddlcheck.wants import Answer

NODE = "n1"
PATH = "/data"
# /proc/self/mountinfo of a Debian 12 node with its root, a data set over NFS 4.2, and a file system shared by binding.
ROOT = "26 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro"
NFS = (
    "98 26 0:52 / /data rw,noatime,nodiratime shared:55 - nfs4 nfs1:/export/data rw,vers=4.2,rsize=1048576,wsize=1048576,"
    "namlen=255,hard,proto=tcp,nconnect=8,timeo=600,retrans=2,sec=sys,clientaddr=192.0.2.11,local_lock=none,addr=192.0.2.2"
)
TMPFS = "40 26 0:346 / /export/shared rw,relatime shared:2200 - tmpfs lab-shared rw,size=262144k"
BIND = "41 26 0:346 / /srv/shared rw,relatime shared:2200 - tmpfs lab-shared rw,size=262144k"
AUTOFS = (
    "97 26 0:51 / /data rw,relatime shared:54 - autofs systemd-1 rw,fd=61,pgrp=1,timeout=0,minproto=5,maxproto=5,direct"
)
ALIVE = {
    "state": "", "ms": 3.1, "dev": 52, "parent": 2049, "uid": 0, "mode": 0o755, "empty": False, "block": 4096,
    "blocks": 1000000, "free": 600000, "available": 500000, "files": 1000, "files_free": 900, "readonly": False,
}  # fmt: skip
COUNTS = {"ops": 100, "sent": 100, "timeouts": 0, "sends": 100, "recvs": 100, "age": 1000}
VALUES = {
    "nfs_mounts": [{"path": PATH, "source": "nfs1:/export/data"}],
    "nfs_options": "rw,hard,vers=4.2,proto=tcp,nconnect=8,rsize=1048576,wsize=1048576,noatime,nodiratime,_netdev,nofail,"
    "x-systemd.mount-timeout=30",
    "nfs_readahead": 15360, "nfs_exports": [], "nfs_threads": 8, "nfs_deadline": 5.0, "nfs_within": 5.0,
    "nfs_max_used": 95.0, "clock_max_spread": 1.0, "ssh_mesh_user": "ddl",
}  # fmt: skip


def step(**more):
    return {"state": "", "ms": 1.0, **more}


def part(nodes, me, **more):
    seen = dict.fromkeys(nodes, 0.01)
    wrote = step(**{"as": "root", "uid": 0, "owner": 0, "mtime": 1000.0, "before": 999.9, "after": 1000.1})
    return copy.deepcopy(
        {"peers": nodes, "write": wrote, "read": step(seen=seen), "gone": step(seen=seen), "remove": step(count=None)}
        | more
    )


class Site:
    """Nodes that all mount one export, healthy until something is changed."""

    def __init__(self, size=3, **values):
        self.nodes = [f"n{i}" for i in range(1, size + 1)]
        kept = {node: {**VALUES, **values} for node in self.nodes}
        self.intents = {node: Intent(node, kept[node], kept) for node in self.nodes}
        data = {"mounts": [ROOT, NFS], "probe": ALIVE, "counters": COUNTS, "before": None}
        path = kept[NODE]["nfs_mounts"][0]["path"] if kept[NODE]["nfs_mounts"] else PATH
        self.seen = {
            node: {
                f"mount {path}": Answer(data=copy.deepcopy(data)),
                f"shared {path}": Answer(data=part(self.nodes, node)),
                "read ahead": Answer(data={"/sys/class/bdi/0:52/read_ahead_kb": "15360\n"}),
            }
            for node in self.nodes
        }

    def mount(self, node=NODE, path=PATH, **changed):
        self.seen[node][f"mount {path}"].data.update(changed)
        return self

    def probe(self, **changed):
        self.seen[NODE][f"mount {PATH}"].data["probe"] = {**ALIVE, **changed}
        return self

    def part(self, node, name, **changed):
        self.seen[node][f"shared {PATH}"].data.setdefault(name, {}).update(changed)
        return self

    def judge(self, node=NODE):
        return run._one("nfs", nfs, node, self.seen[node], self.intents[node])

    def together(self):
        return run._together("nfs", nfs, self.seen, self.intents)


def said(verdict):
    return f"{verdict.cause} | {verdict.seen}"
