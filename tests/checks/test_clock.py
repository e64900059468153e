"""Clocks: only what an interval proves is said, and the daemon has to keep them together."""

from __future__ import annotations

import pytest

from ddlcheck.checks import clock
from ddlcheck.verdict import Status
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"
# chronyc -c tracking, chrony 4.3: on a node whose server does not answer, and on one that follows another.
LOST = "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n"
GOOD = "0A580201,10.88.2.1,11,1795441312.605100064,0.000002304,-0.000000401,0.000008976,-0.001,-0.000,0.005,0.000025960,0.000062169,65.2,Normal\n"


def cluster(**values):
    return Cluster("clock", **values)


def clocks(it, width=0.1, **ahead):
    """Set every node's clock: seconds ahead of ours, read within ``width`` seconds."""
    for node in it.seen:
        node_time = 1000.0 + ahead.get(node, 0.0)
        it.put(node, "now", data={"node": node_time, "after": 1000.0 - width / 2, "before": 1000.0 + width / 2})
    return it


def test_a_cluster_as_the_role_left_it_keeps_the_promise():
    it = clocks(cluster())
    assert it.bad() == []
    assert it.judge(NODE).evidence["daemons"][0] == "chrony.service"


def test_a_machine_from_the_rack_has_no_daemon():
    verdict = Cluster("clock", "rack").judge(NODE)
    assert (verdict.status, verdict.remedy, verdict.evidence["daemons"]) == (Status.FAIL, "clock", [])
    assert "no time daemon is active" in verdict.cause


def test_clocks_surely_within_the_spread_pass():
    (verdict,) = clocks(cluster(), minsky3=0.5).together()
    assert (verdict.status, verdict.evidence["possibly_s"]) == (Status.PASS, 0.6)


def test_a_clock_surely_off_fails_and_is_named():
    (verdict,) = clocks(cluster(), minsky3=-7.0).together()
    assert (verdict.status, verdict.nodes, verdict.remedy) == (Status.FAIL, ("minsky3",), "clock")
    assert verdict.evidence["offsets_s"]["minsky3"] == pytest.approx(-7.0)
    assert "minsky3" in verdict.cause


def test_of_two_nodes_neither_is_the_odd_one():
    it = clocks(cluster(), minsky2=9.0)
    for node in ("minsky3", "minsky4"):
        it.put(node, "now", why="deadline")
    (verdict,) = it.together()
    assert verdict.nodes == ("minsky1", "minsky2")


def test_a_spread_that_is_not_proven_either_way_is_a_warning_without_daemons_to_ask():
    it = clocks(cluster(), width=3.0)
    for node in it.seen:
        it.put(node, "tracking", why="missing")
    (verdict,) = it.together()
    assert (verdict.status, verdict.remedy) == (Status.WARN, "wait")
    assert "slowest" in verdict.evidence


def test_slow_answers_are_made_good_by_what_the_daemons_know():
    it = clocks(cluster(), width=3.0)
    for node in it.seen:
        it.put(node, "tracking", GOOD)
    (verdict,) = it.together()
    assert verdict.status == Status.PASS
    assert verdict.evidence["daemons_s"] < 0.001


@pytest.mark.parametrize(
    "text", [LOST, "", "a,b", GOOD.replace("0.000062169", "nan"), GOOD.replace("0.000062169", "9e9")]
)
def test_daemons_that_do_not_know_prove_nothing(text):
    it = clocks(cluster(), width=3.0)
    for node in it.seen:
        it.put(node, "tracking", GOOD)
    it.put(NODE, "tracking", text)
    assert [v.status for v in it.together()] == [Status.WARN]


def test_what_daemons_say_does_not_excuse_a_clock_surely_off():
    it = clocks(cluster(), minsky3=100.0)
    for node in it.seen:
        it.put(node, "tracking", GOOD)
    assert [v.status for v in it.together()] == [Status.FAIL]


def test_a_wide_interval_alone_is_no_failure():
    assert [v.status for v in clocks(cluster(), width=30.0).together()] != [Status.FAIL]


def test_our_own_clock_being_wrong_does_not_matter():
    assert [
        v.status for v in clocks(cluster(), minsky1=500.0, minsky2=500.0, minsky3=500.0, minsky4=500.0).together()
    ] == [Status.PASS]


def test_the_strictest_declared_spread_counts():
    assert [v.status for v in clocks(cluster(clock_max_spread=0.2), minsky3=0.5).together()] == [Status.FAIL]


def test_one_node_has_nothing_to_be_compared_with():
    it = clocks(cluster())
    for node in list(it.seen)[1:]:
        it.put(node, "now", why="deadline")
    assert it.together() == []


def test_a_clock_of_ours_that_went_backwards_is_unknown():
    it = cluster().put(NODE, "now", data={"node": 1.0, "after": 5.0, "before": 4.0})
    assert it.judge(NODE).status == Status.UNKNOWN


# The daemon


def test_a_daemon_that_follows_nobody_fails_where_it_may_adjust():
    verdict = clocks(cluster(clock_adjust=True, clock_servers=[])).put(NODE, "tracking", LOST).judge(NODE)
    assert (verdict.status, verdict.evidence["synchronised"]) == (Status.FAIL, False)
    assert "reaches no server" in verdict.cause


def test_a_clock_that_is_the_host_s_needs_no_server():
    it = clocks(cluster(clock_adjust=False, clock_servers=[], clock_serve=False)).put(NODE, "tracking", LOST)
    assert it.judge(NODE).status == Status.PASS


def test_declared_servers_must_be_followed_all_the_same():
    it = clocks(cluster(clock_adjust=False)).put(NODE, "tracking", LOST)
    assert it.judge(NODE).status == Status.FAIL


# chronyc -c sources after the node's processes had stood for 75 s: before and after the server answered again.
FORGOT = "^,?,10.88.2.1,0,6,17,4294967295,0.000000000,0.000000000,0.000000000\n"
AGAIN = "^,?,10.88.2.1,10,6,37,30,0.000084591,0.000084591,0.000012748\n"


def test_a_daemon_that_chooses_again_after_a_pause_is_a_warning():
    it = clocks(cluster(clock_servers=["10.88.2.1"])).put(NODE, "tracking", LOST).put(NODE, "sources", AGAIN)
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.remedy, verdict.seen) == (
        Status.WARN,
        "wait",
        "chrony.service is choosing a server again",
    )
    assert "10.88.2.1 answered 30 s ago, +8.5e-05 s from this clock" in verdict.cause


@pytest.mark.parametrize(
    "line",
    [
        FORGOT,
        AGAIN.replace(",37,", ",36,"),  # the last question had no answer
        AGAIN.replace(",30,", ",129,"),  # too long ago
        AGAIN.replace(",0.000084591,", ",1.1,", 1),  # the clock is off
        AGAIN.replace("0.000012748", "1.0"),  # or may be
        AGAIN.replace("0.000012748", "nan"),
        AGAIN.replace("?", "x"),  # others contradict it
        AGAIN.replace(",6,", ",99999,"),
        AGAIN.replace(",6,", ",x,"),
        "^,?,10.88.2.1\n",
    ],
)
def test_what_a_server_answered_must_prove_the_clock(line):
    it = clocks(cluster(clock_servers=["10.88.2.1"])).put(NODE, "tracking", LOST).put(NODE, "sources", line)
    assert it.judge(NODE).status == Status.FAIL


def test_a_server_the_daemon_was_not_told_of_fails():
    it = clocks(cluster(clock_servers=["ntp.example.com"]))
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "clock")
    assert "was not told of ntp.example.com" in verdict.cause


def test_chronyc_that_cannot_be_asked_is_unknown():
    it = clocks(cluster()).put(NODE, "tracking", why="deadline").put(NODE, "sources", why="deadline")
    verdict = it.judge(NODE)
    assert verdict.status == Status.UNKNOWN
    assert "deadline" in verdict.seen


@pytest.mark.parametrize("text", ["", "506 Cannot talk to daemon\n", "a,b,c\n", GOOD[:-20]])
def test_chronyc_of_an_unknown_form_is_unknown(text):
    assert clocks(cluster()).put(NODE, "tracking", text, rc=0).judge(NODE).status in (Status.UNKNOWN, Status.FAIL)


def test_a_node_that_is_to_serve_and_does_not_listen_fails():
    it = clocks(cluster(clock_serve=True)).put(NODE, "files", data={"/proc/net/udp": "header\n"})
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["serves"]) == (Status.FAIL, False)
    assert "port 123" in verdict.cause


def states(**active):
    return "".join(
        f"{'active' if unit.split('.')[0].replace('-', '_') in active else 'inactive'}\n" for unit in clock.DAEMONS
    )


def test_timesyncd_is_synchronised_when_it_left_its_mark():
    it = clocks(cluster(clock_adjust=True, clock_servers=[])).put(NODE, "active", states(systemd_timesyncd=1), rc=3)
    it.put(NODE, "tracking", why="missing").put(NODE, "sources", why="missing").put(
        NODE, "files", data={clock.TIMESYNC: ""}
    )
    assert it.judge(NODE).status == Status.PASS
    assert it.put(NODE, "files", data={}).judge(NODE).status == Status.FAIL


def test_another_daemon_that_runs_counts_and_is_said_to_be_silent():
    it = (
        clocks(cluster(clock_adjust=True, clock_servers=[]))
        .put(NODE, "active", states(ntpd=1), rc=3)
        .put(NODE, "tracking", why="missing")
    )
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["synchronised"]) == (Status.PASS, None)


def test_no_systemd_to_ask_is_unknown():
    assert cluster().put(NODE, "active", why="missing").judge(NODE).status == Status.UNKNOWN


def test_a_systemctl_that_broke_off_is_unknown():
    assert cluster().put(NODE, "active", "active\n", rc=0).judge(NODE).status == Status.UNKNOWN


@pytest.mark.parametrize("want", ["now", "active"])
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(want, answer):
    it = cluster()
    it.seen[NODE][want] = answer
    assert it.judge(NODE).status in (Status.UNKNOWN, Status.FAIL)


@pytest.mark.parametrize("value", ["now", None, float("nan"), float("inf"), 1e300, [], {}])
def test_a_time_that_is_none_is_unknown(value):
    it = cluster().put(NODE, "now", data={"node": value, "after": 1.0, "before": 2.0})
    assert it.judge(NODE).status == Status.UNKNOWN
