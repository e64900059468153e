"""Names: every node resolves every name alike, and its own to an address others can reach."""

from __future__ import annotations

import time

import pytest

from ddlcheck import checks
from ddlcheck.intent import Intent
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"
UNDECLARED = {"hosts_file_address": "", "interfaces_fabric_address": ""}


def cluster(**values):
    return Cluster("hosts_file", **values)


def forward(it, name, *addresses, node=NODE):
    it.seen[node]["resolve"].data["forward"][name] = list(addresses)
    return it


def test_names_resolved_as_declared_keep_the_promise():
    it = cluster()
    assert it.bad() == []
    verdict = it.judge(NODE)
    assert (verdict.seen, verdict.evidence["names"], verdict.evidence["wrong"]) == ("8 names", 8, {})


def test_a_machine_from_the_rack_has_its_own_name_on_loopback():
    verdict = Cluster("hosts_file", "rack").judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "hosts_file")
    assert "/etc/hosts line 2 gives 127.0.1.1 to minsky2" in verdict.cause
    assert verdict.evidence["wrong"]["ib1"] == []


def test_a_missing_line_is_named():
    it = forward(cluster(), "ib4")
    it.seen[NODE]["hosts"] = Answer("127.0.0.1 localhost\n")
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.seen, verdict.evidence["wrong"]) == (
        Status.FAIL,
        "ib4 is not resolved",
        {"ib4": []},
    )
    assert "no line for ib4" in verdict.cause


def test_a_stale_line_is_named_with_its_number():
    it = forward(cluster(), "ib4", "10.99.0.9")
    it.seen[NODE]["hosts"] = Answer("127.0.0.1 localhost\n# was here\n10.99.0.9 ib4 # old\n")
    verdict = it.judge(NODE)
    assert "/etc/hosts line 3 gives 10.99.0.9 to ib4" in verdict.cause
    assert verdict.evidence["wrong"] == {"ib4": ["10.99.0.9"]}
    assert verdict.declared["ib4"] in verdict.promised


def test_of_two_lines_the_one_that_is_right_is_not_blamed():
    it = cluster()
    (right,) = it.seen[NODE]["resolve"].data["forward"]["ib4"]
    it.put(NODE, "hosts", f"{right} ib4\n10.88.3.1 ib1 extra ib4\n")
    assert "line 2 gives 10.88.3.1 to ib4" in forward(it, "ib4", "10.88.3.1", right).judge(NODE).cause


def test_an_address_beside_the_right_line_comes_from_dns():
    it = cluster()
    (right,) = it.seen[NODE]["resolve"].data["forward"]["ib4"]
    it.put(NODE, "hosts", f"{right} ib4\n")
    assert forward(it, "ib4", right, "192.0.2.1").judge(NODE).cause == "DNS gives 192.0.2.1 to ib4"


def test_a_second_address_of_a_name_is_wrong_too():
    it = cluster()
    right = it.seen[NODE]["resolve"].data["forward"]["ib4"]
    assert forward(it, "ib4", *right, "10.99.0.9").judge(NODE).status == Status.FAIL


def test_an_address_from_nowhere_in_the_file_comes_from_dns():
    verdict = forward(cluster(), "ib4", "192.0.2.1").judge(NODE)
    assert "DNS gives 192.0.2.1 to ib4" in verdict.cause


def test_a_resolver_that_does_not_read_the_file_is_named():
    it = forward(cluster(), "ib4")
    verdict = it.put(NODE, "switch", "passwd: files\nhosts: dns myhostname\n").judge(NODE)
    assert "/etc/nsswitch.conf does not name files" in verdict.cause


def test_a_hosts_file_that_cannot_be_read_is_said_so():
    verdict = forward(cluster(), "ib4").put(NODE, "hosts", why="denied").judge(NODE)
    assert "could not be read (denied)" in verdict.cause


@pytest.mark.parametrize("address", ["127.0.1.1", "127.0.0.1", "::1"])
def test_the_node_s_own_name_on_loopback_fails(address):
    it = cluster()
    it.seen[NODE]["resolve"].data["self"] = [address]
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["wrong"]) == (Status.FAIL, {"ib2": [address]})


def test_a_renamed_node_s_name_is_the_check_hostname_s_business():
    it = cluster()
    it.seen[NODE]["resolve"].data.update({"hostname": "gpu7", "self": []})
    assert it.judge(NODE).status == Status.PASS


def test_an_address_that_is_called_by_another_node_s_name_fails():
    it = cluster()
    data = it.seen[NODE]["resolve"].data
    address = data["forward"]["ib4"][0]
    data["reverse"][address] = "ib1"
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["reverse"]) == (Status.FAIL, {address: "ib1"})


def test_an_alias_of_the_same_node_is_a_good_reverse_name():
    it = cluster()
    data = it.seen[NODE]["resolve"].data
    data["reverse"][data["forward"]["ib4"][0]] = "minsky4"
    assert it.judge(NODE).status == Status.PASS


def test_an_address_without_a_name_is_a_warning():
    it = cluster()
    data = it.seen[NODE]["resolve"].data
    data["reverse"][data["forward"]["ib4"][0]] = ""
    assert it.judge(NODE).status == Status.WARN


def test_a_reverse_name_of_the_site_s_own_is_not_held_against_it():
    it = cluster()
    data = it.seen[NODE]["resolve"].data
    data["reverse"][data["forward"]["ib4"][0]] = "rack3-u17.example.com"
    assert it.judge(NODE).status == Status.PASS


def test_a_name_that_was_left_out_is_unknown():
    it = cluster()
    del it.seen[NODE]["resolve"].data["forward"]["ib4"]
    assert it.judge(NODE).status == Status.UNKNOWN


def test_a_name_the_agent_failed_on_is_unknown():
    it = cluster()
    it.seen[NODE]["resolve"].data["forward"]["ib4"] = {"why": "failed", "err": "x"}
    assert it.judge(NODE).status == Status.UNKNOWN


def test_without_declared_addresses_the_odd_node_is_named():
    it = forward(cluster(**UNDECLARED), "minsky4", "10.99.0.9")
    (verdict,) = it.together()
    assert (verdict.status, verdict.nodes, verdict.remedy) == (Status.FAIL, (NODE,), "hosts_file")
    assert verdict.evidence["name"] == "minsky4"
    assert "3 others say" in verdict.cause


def test_without_a_majority_every_node_is_named():
    it = cluster(**UNDECLARED)
    for node in ("minsky1", "minsky2"):
        forward(it, "ib4", "10.99.0.9", node=node)
    (verdict,) = it.together()
    assert sorted(verdict.nodes) == ["minsky1", "minsky2", "minsky3", "minsky4"]


def test_nodes_that_agree_are_right_where_nothing_is_declared():
    assert cluster(**UNDECLARED).bad() == []


def test_a_node_s_own_loopback_line_is_not_held_against_it_twice():
    it = forward(cluster(**UNDECLARED), "ib2", "127.0.1.1")
    assert it.together() == []


def test_a_node_that_says_nothing_does_not_stop_the_comparison():
    it = forward(cluster(**UNDECLARED), "minsky4", "10.99.0.9").put("minsky1", "resolve", why="deadline")
    assert [v.nodes for v in it.together()] == [(NODE,)]


def test_declared_names_are_judged_once_not_again_together():
    assert forward(cluster(), "ib4", "10.99.0.9").together() == []


def judged_in(count):
    """Judge a cluster of so many nodes that is as declared; return the CPU seconds."""
    check = checks.load(["hosts_file"])["hosts_file"]
    base = dict(cluster().intents[NODE]._values)
    fabric = {f"n{i}": f"10.1.{i >> 7}.{i & 127}" for i in range(count)}
    kept = {
        node: {
            **base,
            "hostname_fabric_name": f"ib{node[1:]}",
            "interfaces_fabric_address": address,
            "hosts_file_address": "",
        }
        for node, address in fabric.items()
    }
    names = {node: [address.replace("10.1.", "10.2.")] for node, address in fabric.items()}
    names |= {f"ib{node[1:]}": [address] for node, address in fabric.items()}
    reverse = {addresses[0]: name for name, addresses in names.items()}
    intents = {node: Intent(node, kept[node], kept) for node in kept}
    seen = {
        node: {"resolve": Answer(data={"forward": names, "reverse": reverse, "self": names[node], "hostname": node}),
               "hosts": Answer(""), "switch": Answer(""), "user": Answer("done\n", rc=0)}
        for node in kept
    }  # fmt: skip
    begun = time.process_time()
    verdicts = [check.judge(seen[node], intents[node]) for node in kept]
    assert check.judge_together(seen, intents) == []
    assert {v.status for v in verdicts} == {Status.PASS}
    return time.process_time() - begun


def test_judging_grows_with_names_times_nodes_and_no_faster():
    small, large = (min(judged_in(count) for _ in range(3)) for count in (64, 256))
    assert large / small < 4 * 4 * 3, "cubic would be 64 times"


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(answer):
    it = cluster()
    it.seen[NODE]["resolve"] = answer
    assert it.judge(NODE).status == Status.UNKNOWN


def test_a_file_that_only_root_may_read_is_named_with_the_user_who_may_not():
    it = cluster().put(NODE, "user", "file /etc/hosts\nname ib2\nname ib1\ndone\n", rc=0)
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.remedy, verdict.seen) == (Status.FAIL, "hosts_file", "ib2 is not resolved for ddl")
    assert verdict.cause == "/etc/hosts cannot be read by ddl"
    assert (verdict.evidence["refused"], verdict.evidence["unreadable"]) == (["ib2", "ib1"], ["/etc/hosts"])
    assert [v.nodes for v in it.bad()] == [(NODE,)]


def test_a_resolver_s_file_that_only_root_may_read_is_found_before_a_name_is_missed():
    verdict = cluster().put(NODE, "user", "file /etc/resolv.conf\ndone\n", rc=0).judge(NODE)
    # The role does not own that file.
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "inspect")
    assert verdict.seen == "/etc/resolv.conf is not readable for ddl"


def test_names_that_root_does_not_get_either_are_not_blamed_on_the_user():
    it = forward(cluster(), "ib4").put(NODE, "user", "name ib4\ndone\n", rc=0)
    it.seen[NODE]["hosts"] = Answer("127.0.0.1 localhost\n")
    assert "no line for ib4" in it.judge(NODE).cause


@pytest.mark.parametrize("answer", [*GARBAGE, Answer("name ib1\n", rc=0), Answer("hello\ndone\n", rc=0)])
def test_a_user_who_cannot_be_asked_is_unknown(answer):
    it = cluster()
    it.seen[NODE]["user"] = answer
    assert it.judge(NODE).status is Status.UNKNOWN


def test_the_job_s_user_is_asked_for_a_few_names_its_own_first():
    it = cluster(ssh_mesh_user="")
    asked = it.check.wants(it.intents[NODE])["user"]
    assert asked["user"] == "@session"
    assert asked["argv"][4:6] == ["ib2", "minsky2"]
    assert len(asked["argv"]) <= 4 + 8
