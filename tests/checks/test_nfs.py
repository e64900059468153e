"""Mounts on one node: a directory is not one, an old answer is not one; and what a server serves."""

from __future__ import annotations

import errno

import pytest

from ddlcheck.checks import nfs
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE
from tests.checks.nfs_site import (
    AUTOFS,
    BIND,
    COUNTS,
    NFS,
    NODE,
    PATH,
    ROOT,
    TMPFS,
    Site,
    said,
)


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


def test_an_empty_directory_is_no_mount():
    verdict = Site().probe(empty=True).mount(mounts=[ROOT]).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "nfs")
    assert verdict.cause == "/data is not mounted: an empty directory is in its place"


@pytest.mark.parametrize(
    ("over", "remedy", "more"),
    [(False, "inspect", ", which a mount would hide: move them away, then apply role nfs"), (True, "nfs", "")],
)
def test_a_directory_with_files_is_no_mount_and_the_role_hides_them_only_where_declared(over, remedy, more):
    site = Site(nfs_mounts=[{"path": PATH, "source": "nfs1:/export/data", "over": over}])
    verdict = site.probe(empty=False).mount(mounts=[ROOT]).judge()
    assert (verdict.status, verdict.remedy) == (Status.FAIL, remedy)
    assert verdict.cause == f"/data is not mounted: a directory with files of its own is in its place{more}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rsize=1048576", "rsize=262144", "rsize=262144 instead of rsize=1048576"),
        ("nconnect=8,", "", "nconnect=8 is missing"),
        ("rw,noatime", "rw,relatime", "relatime instead of noatime"),
    ],
)
def test_an_option_that_is_not_in_force_is_said_with_what_is(old, new, words):
    assert words in Site().mount(mounts=[ROOT, NFS.replace(old, new)]).judge().seen


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
