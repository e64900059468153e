"""Interfaces: the declared one is up and told to MPI and NCCL, and no address is on two nodes."""

from __future__ import annotations

import json

import pytest

from ddlcheck.verdict import Status
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"
MPI = "/etc/openmpi/openmpi-mca-params.conf"


def cluster(**values):
    return Cluster("interfaces", **values)


def links(it, node=NODE):
    return json.loads(it.seen[node]["addresses"].text)


def link(it, name, node=NODE, **changes):
    """Change fields of one interface, or make a new one."""
    found = links(it, node)
    one = next((entry for entry in found if entry["ifname"] == name), None)
    if one is None:
        one = {"ifname": name, "flags": ["UP", "LOWER_UP"], "operstate": "UP", "addr_info": []}
        found.append(one)
    one.update(changes)
    return it.put(node, "addresses", json.dumps(found), rc=0)


def address(local, scope="global"):
    return [{"family": "inet", "local": local, "prefixlen": 16, "scope": scope}]


def test_the_declared_interface_up_and_told_keeps_the_promise():
    it = cluster()
    assert it.bad() == []
    verdict = it.judge(NODE)
    assert (verdict.seen, verdict.evidence["told"]["NCCL_SOCKET_IFNAME"]) == ("ib0 up", "=ib0")


def test_on_a_machine_from_the_rack_nobody_is_told():
    verdict = Cluster("interfaces", "rack").judge(NODE)
    assert (verdict.status, verdict.remedy, verdict.evidence["up"]) == (Status.FAIL, "interfaces", True)
    assert "/etc/nccl.conf does not set NCCL_SOCKET_IFNAME" in verdict.cause


def test_an_interface_that_is_not_there_fails():
    verdict = cluster(interfaces_fabric="ib7").judge(NODE)
    assert (verdict.status, verdict.seen, verdict.remedy) == (Status.FAIL, "no ib7", "inspect")


@pytest.mark.parametrize(
    "changes",
    [{"operstate": "DOWN"}, {"flags": ["BROADCAST"]}, {"flags": ["UP", "NO-CARRIER"]}, {"operstate": "LOWERLAYERDOWN"}],
)
def test_an_interface_that_is_down_or_without_carrier_fails(changes):
    verdict = link(cluster(), "ib0", **changes).judge(NODE)
    assert (verdict.status, verdict.evidence["up"]) == (Status.FAIL, False)
    assert "ib0 is down or has no carrier" in verdict.cause


def test_a_driver_that_does_not_report_its_state_is_not_down():
    assert link(cluster(), "ib0", operstate="UNKNOWN").judge(NODE).status == Status.PASS


def test_a_lost_address_fails():
    verdict = link(cluster(), "ib0", addr_info=[]).judge(NODE)
    assert (verdict.status, verdict.evidence["addresses"]) == (Status.FAIL, [])
    assert "ib0 does not bear" in verdict.cause


def test_an_address_on_another_interface_does_not_count():
    it = cluster()
    declared = it.intents[NODE]["interfaces_fabric_address"]
    link(it, "ib0", addr_info=[])
    assert link(it, "eth0", addr_info=address(declared)).judge(NODE).status == Status.FAIL


def test_any_address_will_do_where_none_is_declared():
    it = link(cluster(interfaces_fabric_address=""), "ib0", addr_info=address("10.5.5.5"))
    assert it.judge(NODE).status == Status.PASS


def test_where_no_interface_is_declared_there_is_nothing_to_be_told():
    it = Cluster("interfaces", "rack", interfaces_fabric="", interfaces_fabric_address="")
    assert it.bad() == []


@pytest.mark.parametrize("value", ["=ib0", "ib0", "ib", "=eth1,ib0", "eth1,ib"])
def test_nccl_told_of_the_interface_in_its_own_ways_is_fine(value):
    assert cluster().put(NODE, "nccl", f"NCCL_SOCKET_IFNAME={value}\n").judge(NODE).status == Status.PASS


@pytest.mark.parametrize("value", ["=eth0", "eth0", "=ib", "^docker0", "=ib00", ""])
def test_nccl_told_of_another_interface_fails(value):
    verdict = cluster().put(NODE, "nccl", f"NCCL_SOCKET_IFNAME={value}\n").judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "interfaces")
    assert "/etc/nccl.conf says" in verdict.cause


def test_of_two_lines_nccl_takes_the_first():
    it = cluster().put(NODE, "nccl", "NCCL_SOCKET_IFNAME==ib0\nNCCL_SOCKET_IFNAME==eth0\n")
    assert it.judge(NODE).status == Status.PASS


def test_no_nccl_conf_is_a_failure_and_an_unreadable_one_is_unknown():
    assert cluster().put(NODE, "nccl", why="missing").judge(NODE).status == Status.FAIL
    assert cluster().put(NODE, "nccl", why="denied").judge(NODE).status == Status.UNKNOWN


@pytest.mark.parametrize("value", ["ib0", "eth1,ib0", "10.88.3.0/24", "10.0.0.0/8"])
def test_mpi_told_by_name_or_by_network_is_fine(value):
    it = cluster(interfaces_fabric_address="10.88.3.2")
    link(it, "ib0", addr_info=address("10.88.3.2")).edit(NODE, "mpi", MPI, f"btl_tcp_if_include = {value}\n")
    assert it.judge(NODE).status == Status.PASS


@pytest.mark.parametrize("value", ["eth0", "192.0.2.0/24", "10.88.3.0/99", "ib", "x/y", ""])
def test_mpi_told_otherwise_fails(value):
    verdict = cluster().edit(NODE, "mpi", MPI, f"btl_tcp_if_include = {value}\n").judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "openmpi")
    assert "btl_tcp_if_include" in verdict.cause


def test_mpi_not_told_at_all_fails():
    verdict = cluster().edit(NODE, "mpi", MPI, "").judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "openmpi")


def test_one_address_on_two_nodes_fails_and_names_both():
    it = cluster()
    for node in ("minsky2", "minsky3"):
        link(it, "eth9", node, addr_info=address("10.99.99.1"))
    (verdict,) = it.together()
    assert (verdict.status, verdict.nodes, verdict.remedy) == (Status.FAIL, ("minsky2", "minsky3"), "inspect")
    assert verdict.evidence["address"] == "10.99.99.1"
    assert "10.99.99.1 of eth9 lives on minsky2 and minsky3" in verdict.cause


def test_docker_s_address_everywhere_fails_where_mpi_is_not_told_to_keep_off():
    it = Cluster("interfaces", "rack", interfaces_fabric="")
    for node in it.seen:
        link(it, "docker0", node, addr_info=address("172.17.0.1"))
    (verdict,) = it.together()
    assert (verdict.status, verdict.remedy, len(verdict.nodes)) == (Status.FAIL, "interfaces", 4)
    assert "not told" in verdict.cause


def test_docker_s_address_everywhere_is_noted_where_mpi_is_told():
    it = cluster()
    for node in it.seen:
        link(it, "docker0", node, addr_info=address("172.17.0.1"))
    (verdict,) = it.together()
    assert (verdict.status, verdict.evidence["told"]) == (Status.PASS, True)


@pytest.mark.parametrize(("local", "scope"), [("169.254.1.1", "link"), ("fe80::1", "link"), ("127.0.0.1", "host")])
def test_link_local_and_host_addresses_may_be_anywhere(local, scope):
    it = cluster()
    for node in it.seen:
        link(it, "eth9", node, addr_info=address(local, scope))
    assert it.together() == []


def test_one_address_twice_on_one_node_is_its_own_business():
    it = link(link(cluster(), "eth8", addr_info=address("10.9.9.9")), "eth9", addr_info=address("10.9.9.9"))
    assert it.together() == []


def test_a_node_that_says_nothing_does_not_stop_the_comparison():
    it = cluster().put("minsky1", "addresses", why="missing")
    assert it.together() == []


def test_a_node_with_another_mtu_is_doubted_and_named():
    (verdict,) = link(cluster(), "ib0", mtu=9000).together()
    assert (verdict.status, verdict.nodes, verdict.remedy) == (Status.WARN, (NODE,), "inspect")
    assert verdict.cause == "ib0 of minsky2 has MTU 9000, 3 others have 1500"


def test_where_mtus_are_even_every_node_is_named():
    it = link(link(cluster(), "ib0", mtu=9000), "ib0", "minsky3", mtu=9000)
    assert sorted(node for v in it.together() for node in v.nodes) == ["minsky1", "minsky2", "minsky3", "minsky4"]


@pytest.mark.parametrize("mtu", [None, "9000", []])
def test_an_mtu_that_is_no_number_is_not_compared(mtu):
    assert link(cluster(), "ib0", mtu=mtu).together() == []


def test_the_mtu_of_an_undeclared_interface_is_its_own_business():
    assert link(cluster(), "eth0", mtu=9000).together() == []


@pytest.mark.parametrize("want", ["addresses", "mpi"])
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(want, answer):
    it = cluster()
    it.seen[NODE][want] = answer
    assert it.judge(NODE).status in (Status.UNKNOWN, Status.FAIL)


@pytest.mark.parametrize(
    "text", ['[{"ifname": "ib0"}]', '[{"ifname": "ib0", "flags": ["UP"], "addr_info": [7]}]', "[null]", '{"a": 1}']
)
def test_json_of_another_form_is_unknown(text):
    assert cluster().put(NODE, "addresses", text, rc=0).judge(NODE).status == Status.UNKNOWN
