"""Role nfs, where it must not simply mount: what is used, what is hidden, what looks right and is not shared."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ddlcheck.lab import Lab
from ddlcheck.lab.faults import FAULTS
from tests.roles.conftest import Cluster, Run, run_playbook

pytestmark = pytest.mark.lab

#: Sits in the mount, as a job does, until it is told to go; its own process id is what is said.
SIT = "cd /srv/shared; nohup sleep 3000 > /dev/null 2>&1 & echo $!"
OPTIONS = "bind,nofail,nosuid,nodev"
OTHER = "findmnt -no SOURCE /srv/shared"


@pytest.fixture
def broken(ready: Lab) -> Iterator[Cluster]:
    """Three nodes on which the mount is not as declared, each for a reason of its own."""
    on = Cluster(ready).on
    used, filled, apart = ready.nodes[1:4]
    FAULTS["nfs-source"].inject(used)
    FAULTS["nfs-filled"].inject(filled)
    # The very directory that is declared, bound to the very place: of another file system than the others'.
    on(apart.name, "umount /srv/shared; mount -t tmpfs -o size=1m,mode=1777 apart /export/shared; mount /srv/shared")
    pid = on(used.name, SIT)
    try:
        yield Cluster(ready)
    finally:
        on(used.name, f"kill {pid} 2>/dev/null || :")
        on(apart.name, 'umount -l /srv/shared; while [ -n "$(findmnt -no SOURCE /export/shared | grep apart)" ]; '
           "do umount -l /export/shared; done; mount /srv/shared")  # fmt: skip
        for node, fault in ((used, "nfs-source"), (filled, "nfs-filled")):
            FAULTS[fault].heal(node)


def nfs(lab: Lab, *words: str) -> Run:
    return run_playbook(lab.inventory, "--tags", "nfs", *words)


def test_what_is_used_hidden_or_not_shared_is_said_and_left_alone(broken: Cluster) -> None:
    lab, on = broken.lab, broken.on
    used, filled, apart = (node.name for node in lab.nodes[1:4])
    before = on(used, OTHER)
    said = nfs(lab)
    assert said.status != 0
    # Unmounted only when nothing uses it: what uses it goes on, and the sentence says how to find that.
    assert "cannot be unmounted" in said.failed[used]
    assert "busy" in said.failed[used]
    assert "fuser -vm /srv/shared" in said.failed[used]
    assert on(used, OTHER) == before
    assert on(used, "pgrep -fx 'sleep 3000'") != ""
    # Never over a directory with files of its own, unasked.
    assert "a directory with files of its own" in said.failed[filled]
    assert on(filled, "cat /srv/shared/note; mountpoint -q /srv/shared || echo not mounted") == "mine\nnot mounted"
    # Mounted as declared, and yet not what the others have: that shows by a token.
    proven = {host: text for host, text in said.failed.items() if "the other node wrote it" in text}
    assert apart in proven
    assert "not to be seen here" in proven[apart]
    assert on(apart, "ls -A /srv/shared") == ""  # its own token is gone, too
    # As soon as nothing uses it, and where it is asked for.
    on(used, "kill $(pgrep -fx 'sleep 3000')")
    over = {"path": "/srv/shared", "source": "/export/shared", "fstype": "none", "options": OPTIONS, "over": True}
    asked = nfs(lab, "--limit", f"{used},{filled}", "-e", json.dumps({"nfs_mounts": [over]}))
    assert asked.status == 0, asked.said[-3000:]
    for name in (used, filled):
        assert on(name, "ls -d /srv/shared/digits") == "/srv/shared/digits"
