"""Mounts between nodes: what one writes all have to see, on the same export, by one clock, under one lock."""

from __future__ import annotations

import errno

import pytest

from ddlcheck.verdict import Status
from tests.checks.nfs_site import (
    PATH,
    Site,
    said,
    step,
)


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
