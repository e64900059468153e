"""Host names: the running one, the one after the next boot, and whose else they are."""

from __future__ import annotations

import pytest

from ddlcheck.verdict import Status
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"


def cluster(**values):
    return Cluster("hostname", **values)


def names(it, kernel, static=None):
    return it.put(NODE, "kernel", f"{kernel}\n").put(NODE, "static", f"{kernel if static is None else static}\n")


def test_a_node_named_as_declared_keeps_the_promise():
    verdict = cluster().judge(NODE)
    assert (verdict.status, verdict.seen, verdict.promised) == (Status.PASS, "ib2", "ib2")


def test_a_node_from_the_rack_is_not_named_after_its_fabric_interface():
    verdict = Cluster("hostname", "rack").judge(NODE)
    assert (verdict.status, verdict.remedy, verdict.evidence["kernel"]) == (Status.FAIL, "hostname", "minsky2")
    assert "hostname_policy is ib" in verdict.cause


def test_the_same_node_is_right_where_names_are_kept():
    assert Cluster("hostname", "rack", hostname_policy="keep").bad() == []


def test_a_renamed_node_fails():
    verdict = names(cluster(), "gpu7").judge(NODE)
    assert (verdict.status, verdict.seen) == (Status.FAIL, "gpu7")
    assert "renamed" in verdict.cause


def test_a_static_name_that_differs_is_a_failure_at_the_next_boot():
    verdict = names(cluster(), "ib2", "gpu7").judge(NODE)
    assert (verdict.status, verdict.evidence["static"]) == (Status.FAIL, "gpu7")
    assert "/etc/hostname holds gpu7" in verdict.cause


def test_a_transient_name_is_called_one():
    verdict = names(cluster(), "dhcp-17", "ib2").judge(NODE)
    assert verdict.status == Status.FAIL
    assert "transient" in verdict.cause


@pytest.mark.parametrize("static", ["", "# only a comment\n"])
def test_no_static_name_is_a_failure(static):
    verdict = cluster().put(NODE, "static", static).judge(NODE)
    assert (verdict.status, verdict.evidence["static"]) == (Status.FAIL, "")


def test_a_missing_etc_hostname_is_a_failure():
    assert cluster().put(NODE, "static", why="missing").judge(NODE).status == Status.FAIL


def test_an_unreadable_etc_hostname_is_unknown():
    assert cluster().put(NODE, "static", why="denied").judge(NODE).status == Status.UNKNOWN


def test_comments_in_etc_hostname_are_skipped():
    assert cluster().put(NODE, "static", "# ours\n\nib2\n").judge(NODE).status == Status.PASS


@pytest.mark.parametrize(("kernel", "fabric"), [("ib2.cluster.example", "ib2"), ("ib2", "ib2.cluster.example")])
def test_a_qualified_name_and_its_short_form_are_the_same(kernel, fabric):
    it = names(cluster(hostname_fabric_name=fabric), kernel)
    assert it.judge(NODE).status == Status.PASS


def test_two_domains_are_not_the_same():
    assert names(cluster(hostname_fabric_name="ib2.a.example"), "ib2.b.example").judge(NODE).status == Status.FAIL


def test_open_mpi_compares_letters_so_case_matters():
    assert names(cluster(), "IB2").judge(NODE).status == Status.FAIL


def test_a_node_that_bears_another_s_name_says_whose():
    verdict = names(cluster(), "ib3").judge(NODE)
    assert "the name of minsky3" in verdict.cause


def test_two_nodes_of_one_name_are_both_named():
    (verdict,) = names(cluster(), "ib3").together()
    assert (verdict.status, verdict.nodes) == (Status.FAIL, ("minsky2", "minsky3"))
    assert verdict.evidence["kernel"] == "ib3"
    assert verdict.remedy == "hostname"


def test_different_names_are_no_twins():
    assert cluster().together() == []


def test_nodes_that_did_not_say_their_name_are_not_twins():
    it = cluster()
    for node in it.seen:
        it.put(node, "kernel", why="denied")
    assert it.together() == []


CLOUD = "/etc/cloud/cloud.cfg"


def test_cloud_init_that_may_rename_is_a_warning_that_names_the_file():
    verdict = cluster().edit(NODE, "cloud", CLOUD, "preserve_hostname: false\n").judge(NODE)
    assert (verdict.status, verdict.remedy, verdict.evidence["cloud_init"]) == (Status.WARN, "hostname", CLOUD)
    assert CLOUD in verdict.cause


def test_cloud_init_that_says_nothing_may_rename():
    assert cluster().edit(NODE, "cloud", CLOUD, "users: []\n").judge(NODE).status == Status.WARN


@pytest.mark.parametrize(
    "line", ["preserve_hostname: true", "preserve_hostname:   True  # ours", "preserve_hostname: yes"]
)
def test_cloud_init_told_to_keep_the_name_is_fine(line):
    assert cluster().edit(NODE, "cloud", CLOUD, f"{line}\n").judge(NODE).status == Status.PASS


def test_the_later_file_of_cloud_init_wins():
    it = cluster().edit(NODE, "cloud", CLOUD, "preserve_hostname: false\n")
    it.edit(NODE, "cloud", "/etc/cloud/cloud.cfg.d/99-ours.cfg", "preserve_hostname: true\n")
    assert it.judge(NODE).status == Status.PASS
    it.edit(NODE, "cloud", "/etc/cloud/cloud.cfg.d/99-zz.cfg", "preserve_hostname: false\n")
    assert "99-zz.cfg" in it.judge(NODE).cause


def test_cloud_init_switched_off_renames_nobody():
    it = cluster().edit(NODE, "cloud", CLOUD, "preserve_hostname: false\n")
    assert it.edit(NODE, "cloud", "/etc/cloud/cloud-init.disabled", "").judge(NODE).status == Status.PASS


def test_a_wrong_name_is_worse_than_cloud_init():
    assert names(cluster(), "x").edit(NODE, "cloud", CLOUD, "").judge(NODE).status == Status.FAIL


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b", "ib2;reboot", "é", "a" * 300, "\x1b[31mib2"])
def test_what_is_no_host_name_never_passes(name):
    assert names(cluster(), name).judge(NODE).status in (Status.UNKNOWN, Status.FAIL)


@pytest.mark.parametrize("want", ["kernel", "static"])
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(want, answer):
    it = cluster()
    it.seen[NODE][want] = answer
    assert it.judge(NODE).status in (Status.UNKNOWN, Status.FAIL)
