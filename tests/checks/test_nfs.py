"""Mounts: a directory is not one, an old answer is not one, and the others' is another one."""

from __future__ import annotations

import copy
import errno

import pytest

from ddlcheck import run
from ddlcheck.checks import nfs
from ddlcheck.intent import Intent
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE

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


def test_a_mount_as_declared_passes_and_says_what_it_is():
    verdict = Site().judge()
    assert verdict.status is Status.PASS
    assert verdict.evidence[PATH]["source"] == "nfs1:/export/data"
    assert verdict.evidence[PATH]["used_percent"] == 50.0


def test_what_is_shared_by_binding_is_known_by_device_and_directory():
    mounts = [{"path": "/srv/shared", "source": "/export/shared", "fstype": "none", "options": "bind,nofail"}]
    site = Site(nfs_mounts=mounts).mount(path="/srv/shared", mounts=[ROOT, TMPFS, BIND])
    assert site.judge().status is Status.PASS
    other = BIND.replace("0:346 / ", "8:1 /somewhere ")
    verdict = site.mount(path="/srv/shared", mounts=[ROOT, TMPFS, other]).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "nfs")
    assert "not from /export/shared" in verdict.cause


def test_nothing_declared_is_skipped_says_so_and_asks_for_nothing():
    site = Site(nfs_mounts=[])
    assert nfs.wants(site.intents[NODE]) == {}
    verdict = site.judge()
    assert verdict.status is Status.SKIP
    assert "nothing declared" in verdict.seen
    assert [v.status for v in site.together()] == [Status.SKIP]


@pytest.mark.parametrize(
    ("empty", "words"), [(True, "an empty directory is in its place"), (False, "files of its own")]
)
def test_a_directory_is_no_mount(empty, words):
    verdict = Site().probe(empty=empty).mount(mounts=[ROOT]).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "nfs")
    assert words in verdict.cause


def test_an_automount_that_did_not_mount_is_no_mount():
    verdict = Site().mount(mounts=[ROOT, AUTOFS]).judge()
    assert (verdict.status, "automount unit" in verdict.cause) == (Status.FAIL, True)
    assert Site().mount(mounts=[ROOT, AUTOFS, NFS]).judge().status is Status.PASS


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({"state": "hung", "pid": 77, "seconds": 5.0}, "process 77 cannot be killed"),
        ({"state": "late", "pid": 77, "seconds": 5.0}, "no answer within 5.0 s"),
        ({"state": "stuck", "pid": 77}, "process 77 of an earlier look"),
    ],
)
def test_a_mount_that_does_not_answer_is_hung_by_name(probe, words):
    verdict = Site().mount(probe=probe, mounts=[ROOT]).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "inspect")
    assert f"{PATH} is HUNG" in verdict.seen
    assert words in verdict.seen
    assert verdict.evidence["problems"][0]["pid"] == 77


def test_timeouts_that_rose_are_said_of_a_hung_mount_and_warned_of_on_one_that_answers():
    now = {**COUNTS, "timeouts": 7, "age": 1060}
    hung = Site().mount(probe={"state": "late", "pid": 7, "seconds": 5.0}, counters=now, before=COUNTS).judge()
    assert "7 requests timed out in the last 60 s" in hung.cause
    verdict = Site().mount(counters=now, before={**COUNTS, "time": 1.0}).judge()
    assert (verdict.status, "did not always" in verdict.cause) == (Status.WARN, True)


def test_counters_of_a_mount_that_was_made_anew_say_nothing():
    verdict = Site().mount(counters={**COUNTS, "timeouts": 7, "age": 5}, before=COUNTS).judge()
    assert verdict.status is Status.PASS


@pytest.mark.parametrize(
    ("number", "status", "words", "remedy"),
    [
        (errno.ESTALE, Status.FAIL, "stale file handle", "nfs"),
        (errno.EACCES, Status.FAIL, "squashes root", "inspect"),
        (errno.EIO, Status.FAIL, "answers with an error", "inspect"),
        (errno.ENOTCONN, Status.FAIL, "answers with an error", "inspect"),
    ],
)
def test_an_error_is_named(number, status, words, remedy):
    site = Site()
    site.mount(probe={"state": "", "errno": number, "error": "x", "at": PATH})
    verdict = site.judge()
    assert (verdict.status, verdict.remedy) == (status, remedy)
    assert words in said(verdict)


def test_a_missing_sentinel_is_another_file_system_s_sign():
    mounts = [{"path": PATH, "source": "nfs1:/export/data", "sentinel": "imagenet/README"}]
    site = Site(nfs_mounts=mounts)
    site.mount(probe={"state": "", "errno": errno.ENOENT, "error": "x", "at": f"{PATH}/imagenet/README"})
    assert "/data/imagenet/README is missing" in site.judge().seen


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("nfs1:/export/data", "nfs2:/export/data", "another source"),
        ("nfs1:/export/data", "nfs1:/export/old", "another source"),
        ("- nfs4", "- ext4", "another type"),
        ("hard,", "soft,", "soft instead of hard"),
        ("vers=4.2", "vers=4.1", "vers=4.1 instead of vers=4.2"),
        ("rw,noatime,nodiratime", "rw,relatime", "relatime instead of noatime"),
        ("rw,noatime", "ro,noatime", "read-only by surprise: the mount"),
        ("data rw,vers", "data ro,vers", "read-only by surprise: the server"),
        ("proto=tcp", "proto=rdma", "proto=rdma instead of proto=tcp"),
    ],
)
def test_another_source_type_or_option_fails(old, new, words):
    verdict = Site().mount(mounts=[ROOT, NFS.replace(old, new)]).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "nfs")
    assert words in said(verdict)


@pytest.mark.parametrize(("old", "new"), [("rsize=1048576", "rsize=262144"), ("nconnect=8,", "")])
def test_what_the_server_grants_less_of_is_a_warning(old, new):
    verdict = Site().mount(mounts=[ROOT, NFS.replace(old, new)]).judge()
    assert (verdict.status, verdict.remedy) == (Status.WARN, "inspect")


@pytest.mark.parametrize(
    ("options", "old", "new"),
    [
        ("nfsvers=4,hard,tcp", "", ""),
        ("rw,hard,noatime,nodiratime", ",nodiratime", ""),
        ("ro,hard", "rw,noatime", "ro,noatime"),
        ("defaults,_netdev,nofail,x-systemd.automount,nouser,bg", "", ""),
    ],
)
def test_options_that_say_the_same_in_other_words_are_kept(options, old, new):
    mounts = [{"path": PATH, "source": "nfs1:/export/data/", "fstype": "nfs", "options": options}]
    assert Site(nfs_mounts=mounts).mount(mounts=[ROOT, NFS.replace(old, new)]).judge().status is Status.PASS


def test_the_device_of_the_directory_above_is_no_mount():
    assert "another device" in Site().probe(dev=2049).judge().cause


@pytest.mark.parametrize(
    ("changed", "status", "words", "cause"),
    [
        ({"available": 0}, Status.FAIL, "no bytes left", "/data is full: no bytes left"),
        ({"files_free": 0}, Status.FAIL, "no inodes left", "/data is full: no inodes left, it holds too many files"),
        ({"available": 30000}, Status.WARN, "97 % of its bytes", "/data is nearly full"),
        ({"files_free": 10}, Status.WARN, "99 % of its inodes", "/data is nearly full, it holds too many files"),
        ({"files": 0, "files_free": 0}, Status.PASS, "", ""),
    ],
)
def test_a_full_mount_is_said_and_of_what(changed, status, words, cause):
    verdict = Site().probe(**changed).judge()
    assert (verdict.status, words in verdict.seen, verdict.cause) == (status, True, cause)


def test_a_low_read_ahead_is_a_warning_that_the_role_mends():
    site = Site()
    site.seen[NODE]["read ahead"] = Answer(data={"/sys/class/bdi/0:52/read_ahead_kb": "128\n"})
    verdict = site.judge()
    assert (verdict.status, verdict.remedy) == (Status.WARN, "nfs")


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_never_a_pass(garbage):
    site = Site()
    site.seen[NODE][f"mount {PATH}"] = garbage
    assert site.judge().status in (Status.UNKNOWN, Status.FAIL)
    site.seen[NODE][f"shared {PATH}"] = garbage
    assert {v.status for v in site.together()} <= {Status.UNKNOWN, Status.FAIL}


@pytest.mark.parametrize("probe", [None, 7, [], {}, {"state": "fine"}, {"state": ""}, {"state": "", "blocks": "x"}])
def test_a_probe_of_another_form_is_never_a_pass(probe):
    assert Site().mount(probe=probe).judge().status is Status.UNKNOWN


# ---- what this node serves

SERVED = {"nfs_mounts": [], "nfs_exports": [{"path": "/export/data", "clients": ["*"]}]}
ETAB = "/export/data\t192.0.2.0/24(rw,sync,wdelay,hide,nocrossmnt,secure,root_squash,no_all_squash)\n"


def serving(threads="8\n", etab=ETAB):
    site = Site(**SERVED)
    site.seen[NODE].update(threads=Answer(threads), exports=Answer(etab))
    return site


def test_a_server_that_exports_what_is_declared_passes():
    assert serving().judge().status is Status.PASS


@pytest.mark.parametrize(
    ("threads", "etab", "status", "words"),
    [
        ("0\n", ETAB, Status.FAIL, "no threads"),
        ("4\n", ETAB, Status.WARN, "fewer than the declared 8"),
        ("8\n", "", Status.FAIL, "/export/data is not exported"),
        ("many", ETAB, Status.UNKNOWN, "unknown form"),
    ],
)
def test_a_server_that_does_not_is_said(threads, etab, status, words):
    verdict = serving(threads, etab).judge()
    assert (verdict.status, words in said(verdict)) == (status, True)


def test_no_server_at_all_is_said():
    site = serving()
    site.seen[NODE]["threads"] = Answer(why="missing")
    assert site.judge().status is Status.FAIL


# ---- between nodes


def test_tokens_that_all_see_pass():
    (verdict,) = Site().together()
    assert verdict.status is Status.PASS
    assert verdict.evidence == {"nodes": 3, "slowest_read_s": 0.01, "slowest_gone_s": 0.01}


def test_a_node_on_another_export_is_the_odd_one():
    site = Site(4)
    for node in ("n1", "n2", "n4"):
        site.part(node, "read", seen={"n1": 0.1, "n2": 0.1, "n3": None, "n4": 0.1})
    site.part("n3", "read", seen={"n1": None, "n2": None, "n3": 0.1, "n4": None})
    (verdict,) = site.together()
    assert (verdict.status, verdict.nodes, verdict.remedy) == (Status.FAIL, ("n3",), "nfs")
    assert verdict.evidence["problems"][0]["unseen"]["n3"] == ["n1", "n2", "n4"]


def test_of_two_nodes_neither_is_the_odd_one():
    site = Site(2)
    site.part("n1", "read", seen={"n1": 0.1, "n2": None}).part("n2", "read", seen={"n1": None, "n2": 0.1})
    (verdict,) = site.together()
    assert (verdict.status, verdict.nodes) == (Status.FAIL, ("n1", "n2"))


def test_a_node_that_could_not_be_asked_has_seen_nothing():
    site = Site()
    site.seen["n2"][f"shared {PATH}"].data["read"] = {"state": "lost", "error": "timeout"}
    (verdict,) = site.together()
    assert (verdict.status, verdict.nodes) == (Status.FAIL, ("n2",))


def test_a_file_that_lingers_is_named_with_who_sees_it():
    site = Site().part("n2", "gone", seen={"n1": None, "n2": 0.0, "n3": 0.0})
    (verdict,) = site.together()
    assert (verdict.status, verdict.nodes) == (Status.FAIL, ("n2",))
    assert "removed" in verdict.cause


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.EROFS, Status.FAIL, "exports /data read-only"),
        (errno.ENOSPC, Status.FAIL, "full"),
        (errno.EACCES, Status.UNKNOWN, "declare as scratch"),
        (errno.EIO, Status.FAIL, "cannot be written"),
    ],
)
def test_a_token_that_cannot_be_written_says_why(number, status, words):
    site = Site()
    site.seen["n3"][f"shared {PATH}"].data["write"] = {"state": "", "errno": number, "error": "x", "at": ""}
    for node in site.nodes:
        site.part(node, "read", seen={"n1": 0.1, "n2": 0.1}).part(node, "gone", seen={"n1": 0.1, "n2": 0.1})
    (verdict,) = site.together()
    assert (verdict.status, verdict.nodes) == (status, ("n3",))
    assert words in verdict.cause


def test_a_write_that_hangs_is_hung():
    site = Site(2)
    site.seen["n2"][f"shared {PATH}"].data["write"] = {"state": "hung", "pid": 9}
    assert any(v.nodes == ("n2",) and "HUNG" in v.seen for v in site.together())


@pytest.mark.parametrize(
    ("declared", "owner", "status"),
    [
        (None, 65534, Status.PASS),
        (True, 65534, Status.PASS),
        (False, 65534, Status.FAIL),
        (True, 0, Status.FAIL),
        (False, 0, Status.PASS),
    ],
)
def test_root_squash_is_judged_against_what_is_declared(declared, owner, status):
    mounts = [{"path": PATH, "source": "nfs1:/export/data", "root_squash": declared}]
    site = Site(nfs_mounts=mounts)
    for node in site.nodes:
        site.part(node, "write", owner=owner)
    assert max(v.status for v in site.together()) is status


def test_a_root_that_is_squashed_on_one_node_only_is_a_surprise():
    (verdict,) = Site().part("n2", "write", owner=65534).together()
    assert (verdict.status, verdict.nodes) == (Status.WARN, ("n2",))


def test_a_server_s_clock_that_is_off_is_said_of_all_nodes():
    site = Site()
    for node in site.nodes:
        site.part(node, "write", mtime=1060.0)
    (verdict,) = site.together()
    assert (verdict.status, verdict.nodes, verdict.remedy) == (Status.FAIL, ("n1", "n2", "n3"), "clock")
    assert verdict.evidence["problems"][0]["server_ahead_s"]["n1"] == pytest.approx(59.9)


def test_a_node_s_clock_that_is_off_is_said_of_it():
    (verdict,) = Site().part("n2", "write", mtime=990.0).together()
    assert (verdict.status, verdict.nodes) == (Status.FAIL, ("n2",))


LOCKS = [{"path": PATH, "source": "nfs1:/export/data", "rename": True, "lock": True}]


def locking(count=30, **rename):
    site = Site(nfs_mounts=LOCKS)
    good = {"missing": 0, "torn": 0, "last": 10, "rounds": 10, "absent": [], **rename}
    for node in site.nodes:
        site.part(node, "together", **step(rename=dict(good), lock={"rounds": 10, "absent": []}))
    return site.part("n1", "remove", count=count)


def test_locks_and_renames_that_hold_pass():
    assert [v.status for v in locking().together()] == [Status.PASS]


@pytest.mark.parametrize(
    ("site", "status", "words"),
    [
        (locking(count=22), Status.FAIL, "8 of 30 counts under a lock were lost"),
        (locking(count=None), Status.UNKNOWN, "lock not proven"),
        (locking(missing=2), Status.FAIL, "not atomic"),
        (locking(torn=1), Status.FAIL, "not atomic"),
        (locking(last=3), Status.FAIL, "an old file"),
        (locking(absent=["n2"]), Status.UNKNOWN, "rename not proven"),
    ],
)
def test_locks_and_renames_that_do_not_hold_are_said(site, status, words):
    verdicts = site.together()
    assert max(v.status for v in verdicts) is status
    assert any(words in said(v) for v in verdicts)


def test_a_file_system_without_locks_is_said():
    site = locking()
    for node in site.nodes:
        site.seen[node][f"shared {PATH}"].data["together"] = {
            "state": "",
            "errno": errno.ENOLCK,
            "error": "No locks available",
        }
    assert any("knows no locks" in v.cause for v in site.together())


def test_a_mount_that_was_left_out_on_all_nodes_but_one_is_not_a_pass():
    site = Site(2)
    site.seen["n2"][f"shared {PATH}"].data["peers"] = []
    assert [v.status for v in site.together()] == [Status.SKIP]
