"""The kernel's own NFS, server and client: alive, dead, back again, and changed under the client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.roles.conftest import ROOT, Run
from tests.vm.bed import Bed
from tests.vm.conftest import Ddlcheck, Said

pytestmark = [pytest.mark.lab, pytest.mark.long]

EXPORT, MOUNT = "/srv/data", "/data"
#: A server with so little memory grants no larger blocks, of which the check would warn.
OPTIONS = "rw,hard,vers=4.2,proto=tcp,nconnect=2,rsize=131072,wsize=131072,noatime,_netdev,nofail"
#: Seconds in which a mount has to answer, declared for machines that are emulated; one look has to end in a few of them.
DEADLINE, LOOK = 15.0, 150.0
STUCK = "ps -N --ppid 2 -o stat=,pid=,args= | grep -c '^D' || true"


#: One role alone: each task costs an emulated machine seconds.
PLAYBOOK = """\
- name: Share
  hosts: all
  gather_facts: false
  roles: [nfs]
"""


def play(inventory: Path) -> Run:
    """Apply the role as from the checkout."""
    playbook = inventory.parent / "share.yml"
    playbook.write_text(PLAYBOOK)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(playbook)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200, stdin=subprocess.DEVNULL,
        env={
            **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_NOCOLOR": "1", "ANSIBLE_TIMEOUT": "120", "LC_ALL": "C.UTF-8",
        },
    )  # fmt: skip
    return Run(done.returncode, done.stdout + done.stderr)


@dataclass
class Share:
    """An export of the first machine, mounted by the second."""

    bed: Bed
    inventory: Path
    ddlcheck: Ddlcheck
    first: Run
    second: Run

    def look(self) -> tuple[Said, float]:
        """Return what the check says of the client, and how long it took."""
        began = time.monotonic()
        said = self.ddlcheck("cluster", "--only", "nfs", "--limit", "vm2", inventory=self.inventory)
        return said, time.monotonic() - began

    def becomes(self, status: str, within: float) -> Said:
        """Look until the check says so of the client; fail if it does not in so many seconds."""
        deadline = time.monotonic() + within
        while True:
            said, _ = self.look()
            if said.worst("nfs", "vm2")["status"] == status:
                return said
            assert time.monotonic() < deadline, said.text


@pytest.fixture(scope="module")
def share(bed: Bed, ddlcheck: Ddlcheck, tmp_path_factory: pytest.TempPathFactory) -> Share:
    server, client = bed.machines[:2]
    inventory = tmp_path_factory.mktemp("nfs") / "inventory"
    inventory.mkdir()
    (inventory / "group_vars").symlink_to(bed.inventory / "group_vars")
    more = {"nfs_deadline": DEADLINE, "nfs_within": 30.0, "nfs_threads": 4, "nfs_max_used": 99.0}
    serves = {
        "nfs_exports": [
            {"path": EXPORT, "clients": [client.fabric_address], "options": "rw,sync,no_subtree_check,no_root_squash"}
        ]
    }
    # The server's name leads to the management network: the fabric's is the one that is declared here.
    mounts = {"nfs_mounts": [{"path": MOUNT, "source": f"{server.fabric_address}:{EXPORT}", "options": OPTIONS}]}
    hosts = {
        server.name: {"ansible_host": server.address, **more, **serves},
        client.name: {"ansible_host": client.address, **more, **mounts},
    }
    (inventory / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    first, second = (play(inventory) for _ in range(2))
    return Share(bed, inventory, ddlcheck, first, second)


def test_the_role_serves_mounts_and_proves_it_and_a_second_run_changes_nothing(share: Share) -> None:
    assert share.first.status == 0, share.first.said[-4000:]
    assert min(share.first.changed.values()) > 0, share.first.said[-4000:]
    assert share.second.status == 0, share.second.said[-4000:]
    assert share.second.changed == {"vm1": 0, "vm2": 0}
    found = share.bed.machines[1].run(f"grep ' {MOUNT} ' /proc/self/mountinfo").stdout
    assert " nfs4 " in found
    assert f":{EXPORT} " in found


def test_what_is_mounted_and_served_passes(share: Share) -> None:
    said, _ = share.look()
    assert said.worst("nfs", "vm2")["status"] == "PASS", said.text
    whole = share.ddlcheck("cluster", "--only", "nfs", inventory=share.inventory)
    assert [v["status"] for v in whole.verdicts("nfs", "vm1") if v["status"] in ("FAIL", "UNKNOWN")] == [], whole.text


def test_a_server_killed_hard_is_hung_by_name_in_time_with_one_stuck_child_at_most_and_passes_when_back(
    share: Share,
) -> None:
    server, client = share.bed.machines[:2]
    server.power_off()
    try:
        for _ in range(3):
            said, seconds = share.look()
            verdict = said.worst("nfs", "vm2")
            assert (said.status, verdict["status"]) == (1, "FAIL"), said.text
            assert "HUNG" in verdict["seen"], verdict
            assert MOUNT in verdict["seen"], verdict
            assert seconds < LOOK, seconds
        assert int(client.run(STUCK).stdout) <= 1
    finally:
        server.start()
        server.wait()
    share.becomes("PASS", 300)
    assert int(client.run(STUCK).stdout) == 0


def test_an_export_replaced_under_its_client_is_stale_and_the_role_mounts_it_anew(share: Share) -> None:
    server, client = share.bed.machines[:2]
    server.run(f"rm -r {EXPORT} && mkdir {EXPORT} && exportfs -ra", user="root")
    said, _ = share.look()
    verdict = said.worst("nfs", "vm2")
    assert (verdict["status"], verdict["remedy"]) == ("FAIL", "nfs"), said.text
    assert "stale file handle" in verdict["seen"], verdict
    mended = play(share.inventory)
    assert mended.status == 0, mended.said[-4000:]
    assert client.run(f"ls {MOUNT}").returncode == 0
    share.becomes("PASS", 120)
