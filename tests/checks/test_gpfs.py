"""GPFS: what its commands print, judged by the names of columns; what hangs, arbitrates, or is mounted by half."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys

import pytest

from ddlcheck import run
from ddlcheck.checks import gpfs
from ddlcheck.errors import NotSeen
from ddlcheck.intent import Intent
from ddlcheck.judging import scale
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE

MM = pathlib.Path(__file__).parents[1] / "gpfs" / "mm.py"
# The row is of filer1, as a file server of release 4.2 printed it; later releases add daemonShortName.
STATE = (
    "mmgetstate::HEADER:version:reserved:reserved:nodeName:nodeNumber:state:quorum:nodesUp:totalNodes:remarks:cnfsState:\n"
    "mmgetstate::0:1:::filer1:1:active:2:3:88:quorum node:(undefined):\n"
)
MOUNTED = (
    "mmlsmount::HEADER:version:reserved:reserved:localDevName:realDevName:owningCluster:totalNodes:nodeIP:nodeName:clusterName:accessMode:\n"
    "mmlsmount::0:1:::fs1:fs1:c1.net:2:192.0.2.2:filer2:c1.net:RW:\n"
    "mmlsmount::0:1:::fs1:fs1:c1.net:2:192.0.2.1:filer1:c1.net:RW:\n"
)
HEALTH = (
    "mmhealth:State:HEADER:version:reserved:reserved:node:component:entityname:entitytype:status:laststatuschange:\n"
    "mmhealth:State:0:1:::filer1:NODE:filer1:NODE:TIPS:2026-08-01 10%3A00%3A00.000000 CEST:\n"
    "mmhealth:State:0:1:::filer1:GPFS:filer1:NODE:HEALTHY:2026-08-01 10%3A00%3A00.000000 CEST:\n"
    "mmhealth:Event:HEADER:version:reserved:reserved:node:component:entityname:entitytype:event:arguments:activesince:\n"
    "mmhealth:Event:0:1:::filer1:GPFS:filer1:NODE:callhome_not_enabled::2026-08-01 10%3A00%3A00.000000 CEST:\n"
)
ROOT = "26 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
GPFS = "98 26 0:52 / /gpfs/fs1 rw,relatime shared:55 - gpfs fs1 rw"
PROBE = {
    "state": "", "ms": 3.1, "dev": 52, "parent": 2049, "uid": 0, "mode": 0o755, "empty": False, "block": 4096,
    "blocks": 1000, "free": 600, "available": 500, "files": 1000, "files_free": 900, "readonly": False,
}  # fmt: skip


class Node:
    def __init__(self, **values):
        kept = {
            "gpfs_file_systems": [{"name": "fs1", "path": "/gpfs/fs1"}], "gpfs_bin": "/usr/lpp/mmfs/bin", "gpfs_type": "gpfs",
            "gpfs_rdma": "started", "gpfs_deadline": 20.0, **values,
        }  # fmt: skip
        self.intent = Intent("n1", kept)
        self.seen = {
            "state": Answer(STATE, rc=0), "mounted fs1": Answer(MOUNTED, rc=0), "health": Answer(HEALTH, rc=0),
            "verbs": Answer("VERBS RDMA status: started\n", rc=0),
            "mount /gpfs/fs1": Answer(data={"mounts": [ROOT, GPFS], "probe": dict(PROBE), "counters": None, "before": None}),
        }  # fmt: skip

    def put(self, name, text="", **fields):
        self.seen[name] = Answer(text, **fields)
        return self

    def mount(self, **changed):
        self.seen["mount /gpfs/fs1"].data.update(changed)
        return self

    def judge(self):
        return run._one("gpfs", gpfs, "n1", self.seen, self.intent)


def test_an_active_node_with_its_file_system_passes():
    verdict = Node().judge()
    assert verdict.status is Status.PASS
    assert verdict.evidence["fs1"] == {"kernel": True, "daemon": True, "ms": 3.1}
    assert verdict.evidence["health"] == "HEALTHY"


def test_nothing_declared_is_skipped_and_asks_for_nothing():
    node = Node(gpfs_file_systems=[])
    assert gpfs.wants(node.intent) == {}
    assert node.judge().status is Status.SKIP


@pytest.mark.parametrize(
    ("state", "words", "remedy"),
    [
        ("down", "does not run", "gpfs"), ("arbitrating", "quorum", "inspect"), ("unknown", "expelled", "inspect"),
        ("defunct", "calls the node defunct", "inspect"),
    ],
)  # fmt: skip
def test_any_state_but_active_fails_and_says_what_it_means(state, words, remedy):
    verdict = Node().put("state", STATE.replace("active", state), rc=0).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, remedy)
    assert words in verdict.cause


@pytest.mark.parametrize("name", ["state", "mounted fs1", "verbs"])
@pytest.mark.parametrize("why", ["deadline", "hung"])
def test_a_command_that_hangs_fails_by_name(name, why):
    verdict = Node().put(name, why=why).judge()
    assert (verdict.status, "is HUNG" in verdict.seen) == (Status.FAIL, True)


def test_a_monitor_that_hangs_or_complains_is_a_warning():
    assert Node().put("health", why="deadline").judge().status is Status.WARN
    verdict = Node().put("health", HEALTH.replace("HEALTHY", "DEGRADED"), rc=0).judge()
    assert (verdict.status, "GPFS filer1 DEGRADED" in verdict.seen) == (Status.WARN, True)


def test_columns_may_move_and_come_but_not_go():
    moved = (
        "mmgetstate::HEADER:version:state:new:nodeName:daemonShortName:\nmmgetstate::0:1:active:x%3Ay:filer1:filer1:\n"
    )
    assert Node().put("state", moved, rc=0).judge().status is Status.PASS
    assert scale.table(moved, "mmgetstate")[0]["new"] == "x:y"
    assert Node().put("state", moved.replace("state", "condition"), rc=0).judge().status is Status.UNKNOWN


@pytest.mark.parametrize(
    "text", ["", "mmgetstate::0:1:a:\n", "mmgetstate::HEADER:a:b:c:d:\nmmgetstate::0:\n", "garbage\n"]
)
def test_output_without_names_of_columns_is_refused(text):
    with pytest.raises(NotSeen):
        scale.table(text, "mmgetstate")


@pytest.mark.parametrize(
    ("changed", "mounted", "words"),
    [
        ({"mounts": [ROOT]}, MOUNTED, "half mounted"),
        ({"mounts": [ROOT]}, MOUNTED.replace("filer1", "filer3"), "fs1 is not mounted"),
        ({}, MOUNTED.replace("filer1", "filer3"), "left over"),
        ({"mounts": [ROOT, GPFS.replace("gpfs fs1", "gpfs fs2")]}, MOUNTED, "is mounted, but is not fs1"),
        ({"mounts": [ROOT, GPFS.replace("gpfs fs1", "ext4 fs1")]}, MOUNTED, "is mounted, but is not fs1"),
        ({"mounts": [ROOT, GPFS.replace("rw,relatime", "ro,relatime")]}, MOUNTED, "read-only by surprise"),
        ({"probe": {"state": "hung", "pid": 7, "seconds": 20}}, MOUNTED, "does not answer"),
        ({"probe": {"state": "", "errno": errno.ESTALE, "error": "x", "at": ""}}, MOUNTED, "removed or replaced"),
    ],
)
def test_daemon_kernel_and_probe_have_to_agree(changed, mounted, words):
    verdict = Node().put("mounted fs1", mounted, rc=0).mount(**changed).judge()
    assert verdict.status is Status.FAIL
    assert words in f"{verdict.cause} | {verdict.seen}"


def test_verbs_that_did_not_start_fail_where_they_are_declared():
    text = "VERBS RDMA status: disabled\n"
    assert "verbs are disabled" in Node().put("verbs", text, rc=0).judge().seen
    assert "verbs" not in gpfs.wants(Node(gpfs_rdma="any").intent)


def test_what_is_not_installed_is_said():
    assert "not installed" in Node().put("state", why="missing").judge().cause


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", ["state", "mounted fs1", "mount /gpfs/fs1", "verbs"])
def test_garbage_is_never_a_pass(name, garbage):
    node = Node()
    node.seen[name] = garbage
    assert node.judge().status in (Status.UNKNOWN, Status.FAIL)


# ---- the stand-in, which the role's tests use, prints what is read here


def said(tmp_path, command, *words):
    path = tmp_path / command
    if not path.exists():
        path.symlink_to(MM)
        (tmp_path / "state.json").write_text('{"state": "active", "mounted": ["fs1"]}')
    script = f"import sys; sys.argv = [{str(path)!r}, *{list(words)!r}]; exec(open({str(MM)!r}).read())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_the_stand_in_prints_what_the_check_can_read(tmp_path):
    host = os.uname().nodename.split(".")[0]
    (row,) = scale.table(said(tmp_path, "mmgetstate", "-Y"), "mmgetstate")
    assert (row["state"], row["nodeName"], row["remarks"]) == ("active", host, "quorum node")
    (row,) = scale.table(said(tmp_path, "mmlsmount", "fs1", "-L", "-Y"), "mmlsmount")
    assert row["nodeName"] == host
    (row,) = scale.table(said(tmp_path, "mmhealth", "node", "show", "-Y"), "mmhealth", "State")
    assert row["laststatuschange"] == "2026-08-01 10:00:00.000000 CEST"
    assert scale.verbs(said(tmp_path, "mmfsadm", "test", "verbs", "status")) == "started"
