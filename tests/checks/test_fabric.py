import json

import pytest

from ddlcheck.checks import fabric
from ddlcheck.errors import NotSeen
from ddlcheck.fabric import Measurement
from ddlcheck.intent import Intent
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer

SIZE = 1 << 20
VERBS = {"ib:mlx5_0/1:bytes": 1.02}


def measured(n=4, **change):
    found = Measurement([f"n{i + 1}" for i in range(n)])
    found.rounds = {"of": n - 1 + n % 2, "planned": n - 1 + n % 2, "done": n - 1 + n % 2}
    for i, a in enumerate(found.nodes):
        found.ranks[a] = {
            "host": a,
            "mpi": "Open MPI v4.1.4",
            "memlock_soft": "unlimited",
            "memlock_hard": "unlimited",
            "stack": a,
        }
        for b in found.nodes[i + 1 :]:
            found.pairs.append(
                {"a": a, "b": b, "rail": 0, "round": 0, "pass": 1, "bad": 0, "at": 0, "via": ["net:eth0"] * 2,
                 "lat": [{"size": 8, "n": 9, "median": 1.5, "p99": 2.0, "min": 1.4}],
                 "bw": [{"size": SIZE, "ab": 12000.0, "ba": 11900.0, "both": 20000.0}]}
            )  # fmt: skip
    carry(found, {"net:eth0": 1.03})
    vars(found).update(change)
    return found


def carry(found, shares, nodes=None):
    payload = 100 * SIZE
    for node in nodes or found.nodes:
        moved = {device: [int(payload * share), int(payload * share)] for device, share in shares.items()}
        found.counters[node] = {"one_way": {"payload": payload, "moved": moved}}


def judged(found, *, files=None, **values):
    declared = {
        **fabric.DEFAULTS,
        "openmpi_transport": "any",
        "openmpi_prefix": "/usr",
        "openmpi_cuda": False,
        "fabric_rack": "",
        **values,
    }
    cluster = dict.fromkeys(found.nodes, declared)
    intents = {node: Intent(node, declared, cluster) for node in found.nodes}
    parts = json.loads(json.dumps(found.by_node()))
    extra = {name: Answer(data=(files or {}).get(name, {})) for name in ("ports", "params")}
    seen = {node: {"fabric": Answer(data=part), **extra} for node, part in parts.items()}
    own = {}
    for node in found.nodes:
        try:
            own[node] = fabric.judge(seen[node], intents[node])
        except NotSeen as exc:
            own[node] = exc
    return own, list(fabric.judge_together(seen, intents))


def failures(verdicts):
    return [v for v in verdicts if v.status is Status.FAIL]


def test_a_healthy_cluster_passes_in_one_line_with_what_is_typical():
    own, together = judged(measured())
    assert {v.status for v in own.values()} == {Status.PASS}
    assert [v.status for v in together] == [Status.PASS]
    assert "latency 1.5 us" in together[0].seen
    assert "bandwidth 12000 MB/s" in together[0].seen


def test_what_was_measured_and_over_what_is_said():
    _, together = judged(measured())
    assert "all pairs (6 in 3 rounds)" in together[0].seen
    assert "bytes moved over tcp" in together[0].seen
    _, together = judged(measured(rounds={"of": 3, "planned": 1, "done": 1}))
    assert "1 random rounds of 3" in together[0].seen


def test_a_slow_nodes_port_is_named_with_what_its_link_says():
    found = measured(6)
    found.counters = {}
    carry(found, VERBS)
    for node, facts in found.ranks.items():
        facts["links"] = {"ib:mlx5_0/1": "40 Gb/sec (4X QDR)" if node == "n1" else "100 Gb/sec (4X EDR)"}
    for pair in found.pairs:
        pair["via"] = ["ib:mlx5_0/1:bytes"] * 2
        if pair["a"] == "n1":
            pair["bw"][0].update(ab=3900.0, ba=3900.0)
    (bad,) = failures(judged(found)[1])
    assert bad.seen.startswith("n1 (mlx5_0/1): 0.3")
    assert "4X QDR" in bad.cause
    assert judged(found)[1][-1].evidence["of_link_rate"] > 0.9


def test_a_bandwidth_that_no_link_could_carry_is_not_believed():
    found = measured()
    for facts in found.ranks.values():
        facts["links"] = {"net:eth0": "1000 Mb/s"}
    (odd,) = [v for v in judged(found)[1] if v.status is Status.UNKNOWN]
    assert "more than the link carries (125 MB/s" in odd.seen


def test_cuda_that_was_promised_and_not_shown_is_unknown_and_what_was_shown_counts():
    assert Status.UNKNOWN in {v.status for v in judged(measured(), openmpi_cuda=True)[1]}
    done = {"state": "exchanged", "peer": "n2", "why": "", "n": 18, "bad": 0, "at": 0, "size": SIZE, "rate": 9000.0}
    found = measured(device=dict.fromkeys(("n1", "n2", "n3", "n4"), done))
    assert {v.status for v in judged(found, openmpi_cuda=True)[1]} == {Status.PASS}
    found.device["n3"] = {"state": "absent", "why": "no CUDA device"}
    assert [v.nodes for v in failures(judged(found, openmpi_cuda=True)[1])] == [("n3",)]


def test_two_nodes_say_what_cannot_be_concluded():
    _, together = judged(measured(2))
    assert together[-1].status is Status.PASS
    assert "no peers" in together[-1].seen


def test_one_node_has_no_pair_and_no_verdict_on_any():
    found = measured(1, ranks={}, failure={"cause": "fewer than two nodes", "remedy": "inventory", "text": ""})
    own, together = judged(found)
    assert [(v.status, v.seen) for v in (own["n1"], *together)] == [(Status.SKIP, "one node: no pair to judge")] * 2


def test_a_hung_pair_is_named():
    found = measured(hung=[{"a": "n2", "b": "n3", "during": "handshake", "by": ["n2", "n3"]}])
    found.pairs = [p for p in found.pairs if {p["a"], p["b"]} != {"n2", "n3"}]
    (bad,) = failures(judged(found)[1])
    assert bad.nodes == ("n2", "n3")
    assert bad.evidence["hung"][0]["during"] == "handshake"


def test_a_node_that_hangs_with_everybody_is_named_instead_of_its_pairs():
    hung = [{"a": a, "b": "n4", "during": "handshake", "by": [a, "n4"]} for a in ("n1", "n2", "n3")]
    found = measured(hung=hung)
    found.pairs = [p for p in found.pairs if p["b"] != "n4"]
    (bad,) = failures(judged(found)[1])
    assert bad.nodes == ("n4",)


def test_a_wrong_byte_is_a_failure_of_its_own():
    found = measured()
    found.pairs[0]["bad"] = 3
    (bad,) = failures(judged(found)[1])
    assert bad.evidence["wrong"] == 3
    assert bad.nodes == ("n1", "n2")


def test_a_slow_node_is_named_with_its_ratio():
    found = measured(6)
    for pair in found.pairs:
        if pair["a"] == "n1":
            pair["bw"][0].update(ab=3000.0, ba=3000.0)
    (bad,) = failures(judged(found)[1])
    assert bad.evidence["culprits"] == [
        {"kind": "node", "nodes": ["n1"], "metric": "bandwidth", "ratio": pytest.approx(0.25, abs=0.01)}
    ]


def test_a_slow_pair_that_was_fast_the_second_time_is_no_culprit():
    found = measured(6)
    slow = json.loads(json.dumps(found.pairs[0]))
    slow["bw"][0].update(ab=100.0, ba=100.0)
    found.pairs[0]["pass"] = 2
    found.pairs.append(slow)
    assert not failures(judged(found)[1])


def test_pairs_of_which_nothing_is_known_are_unknown():
    found = measured()
    found.pairs.pop()
    assert Status.UNKNOWN in {v.status for v in judged(found)[1]}


def test_a_sample_does_not_miss_what_it_did_not_want():
    found = measured()
    found.pairs.pop()
    found.rounds["planned"] = 2
    assert {v.status for v in judged(found)[1]} == {Status.PASS}


def test_two_names_for_one_node_are_caught():
    found = measured()
    found.ranks["n2"]["stack"] = found.ranks["n1"]["stack"]
    (bad,) = failures(judged(found)[1])
    assert (bad.nodes, bad.remedy) == (("n1", "n2"), "inventory")


def test_a_launch_that_failed_says_why_and_is_no_pass():
    failure = {"cause": "ssh from the head does not trust a node's host key", "remedy": "ssh_mesh", "text": "Host key"}
    found = measured(pairs=[], ranks={}, counters={}, failure=failure)
    own, together = judged(found)
    assert all(isinstance(v, NotSeen) for v in own.values())
    assert [(v.status, v.remedy) for v in together] == [(Status.FAIL, "ssh_mesh")]


@pytest.mark.parametrize(
    "change",
    [
        {"silent": ["n3"]},
        {"unstarted": {"n3": {"cause": "no daemon", "remedy": "ssh_mesh", "text": "orted: not found"}}},
        {"died": {"n3": "signal 9 (Killed)"}},
    ],
)
def test_a_node_that_does_not_answer_fails_by_itself(change):
    own, _ = judged(measured(**change))
    assert own["n3"].status is Status.FAIL
    assert own["n2"].status is Status.PASS


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/tmp: no room for 64 KiB\n@end\n", "/tmp: no room"),
        ("@end\n", "no daemon"),
        ("/tmp: cut", "no daemon"),
        ("", "no daemon"),
    ],
)
def test_a_daemon_that_does_not_start_for_want_of_room_says_where(text, word):
    found = measured(unstarted={"n3": {"cause": "no daemon", "remedy": "ssh_mesh", "text": ""}})
    part = json.loads(json.dumps(found.by_node()))["n3"]
    intent = Intent("n3", {**fabric.DEFAULTS, "openmpi_transport": "any"})
    verdict = fabric.judge({"fabric": Answer(data=part), "room": Answer(text=text)}, intent)
    assert verdict.status is Status.FAIL
    assert word in verdict.cause


def test_two_machines_of_one_name_are_named_and_so_is_another_mpi():
    found = measured(libraries={"n1": "4.1.4", "n2": "4.1.4", "n3": "5.0.11", "n4": "4.1.4"})
    found.ranks["n2"]["host"] = "n1"
    names, versions = failures(judged(found)[1])
    assert (names.nodes, names.remedy) == (("n1", "n2"), "hostname")
    assert (versions.nodes, versions.remedy) == (("n3",), "openmpi")
    found.pairs, found.ranks, found.failure = [], {}, {"cause": "x", "remedy": "inspect", "text": ""}
    assert [v.nodes for v in failures(judged(found)[1])] == [("n3",)], "it also explains why nothing was measured"


def hang(a, b, during="hub"):
    return {"a": a, "b": b, "during": during, "by": [b]}


def bridged(found, *nodes):
    """Give nodes (all of them) a docker0, and take away what was measured between two of these."""
    nodes = nodes or found.nodes
    for node, facts in found.ranks.items():
        bridge = {"docker0": "172.17.0.1"} if node in nodes else {}
        facts["addresses"] = {"eth0": f"10.0.0.{node[1:]}", **bridge}
    found.pairs = [p for p in found.pairs if not {p["a"], p["b"]} <= set(nodes)]
    return found


def test_an_address_that_every_node_offers_explains_why_all_hang():
    found = bridged(measured(hung=[hang("n1", n) for n in ("n2", "n3", "n4")]))
    (bad,) = failures(judged(found)[1])
    assert bad.seen == "172.17.0.1 of docker0 lives on 4 nodes"
    assert bad.remedy == "interfaces"


FAILED = {"cause": "the launch did not end in time (the launch failed)", "remedy": "inspect", "text": "words"}


@pytest.mark.parametrize(
    "change", [{"silent": ["n1", "n2"]}, {"failure": FAILED}, {"silent": ["n1"], "failure": FAILED}]
)
def test_an_address_that_every_node_offers_explains_silence_and_a_launch_that_hangs(change):
    own, together = judged(bridged(measured(**change)))
    (bad,) = failures(together)
    assert bad.evidence["address"] == "172.17.0.1"
    assert bad.nodes == ("n1", "n2", "n3", "n4")
    assert not failures(own.values()), "what hung is no sick node"
    assert {own[n].status for n in change.get("silent", ())} <= {Status.UNKNOWN}
    assert ("words" in bad.seen) == ("failure" in change)


@pytest.mark.parametrize(
    "failure",
    [
        {"cause": "the ranks may not lock enough memory for RDMA", "remedy": "memlock", "text": "x"},
        {"cause": "the nodes run different versions of MPI", "remedy": "openmpi", "text": "x"},
    ],
)
def test_an_address_that_every_node_offers_does_not_hide_a_cause_that_is_known(failure):
    (bad,) = failures(judged(bridged(measured(failure=failure)))[1])
    assert bad.cause == failure["cause"]


def test_an_address_is_not_to_blame_where_pairs_of_its_nodes_got_on():
    found = measured(hung=[hang("n2", "n3", "handshake")])
    pairs = [p for p in found.pairs if {p["a"], p["b"]} != {"n2", "n3"}]
    bridged(found).pairs = pairs
    (bad,) = failures(judged(found)[1])
    assert bad.nodes == ("n2", "n3")
    assert "firewall" in bad.cause
    found.hung, found.silent = [], ["n4"]
    found.pairs = [p for p in pairs if p["b"] != "n4"]
    own, together = judged(found)
    assert own["n4"].status is Status.FAIL
    assert not failures(together)


def test_an_address_that_mpi_is_told_to_keep_off_is_not_to_blame():
    found = bridged(measured(hung=[hang("n1", n) for n in ("n2", "n3", "n4")]))
    for told in (["eth0"], ["10.0.0.0/24"], ["10.0.0.0/24", "nonsense/x"]):
        found.interfaces = told
        assert not [v for v in failures(judged(found)[1]) if "172" in v.seen]
    for told in (["docker0"], ["eth0", "172.16.0.0/12"]):
        found.interfaces = told
        assert [v.evidence["address"] for v in failures(judged(found)[1])] == ["172.17.0.1"]


def test_an_address_of_some_nodes_explains_nothing_of_the_others():
    found = bridged(measured(hung=[hang("n1", "n2"), hang("n2", "n3"), hang("n2", "n4")]), "n1", "n2")
    found.pairs = [p for p in found.pairs if "n2" not in (p["a"], p["b"])]
    first, second = failures(judged(found)[1])
    assert first.nodes == ("n1", "n2")
    assert first.evidence["address"] == "172.17.0.1"
    assert second.nodes == ("n2",)
    assert second.evidence["hung"] == ["n3", "n4"]


def test_an_address_on_several_nodes_is_no_finding_where_nothing_hangs():
    found = measured()
    for facts in found.ranks.values():
        facts["addresses"] = {"docker0": "172.17.0.1"}
    assert not failures(judged(found)[1])


@pytest.mark.parametrize(("during", "word"), [("one way", "MTU"), ("both ways", "MTU"), ("handshake", "firewall")])
def test_a_pair_that_hangs_on_large_messages_only_is_told_apart(during, word):
    found = measured(hung=[{"a": "n2", "b": "n3", "during": during, "by": ["n2"]}])
    found.pairs = [p for p in found.pairs if {p["a"], p["b"]} != {"n2", "n3"}]
    (bad,) = failures(judged(found)[1])
    assert word in bad.cause


def test_pairs_of_a_node_that_was_left_out_because_it_hung_are_not_missed():
    found = measured(5, hung=[{"a": n, "b": "n5", "during": "one way", "by": [n]} for n in ("n1", "n2")])
    found.pairs = [p for p in found.pairs if p["b"] != "n5"]
    assert [(v.status, v.nodes) for v in judged(found)[1] if v.status is not Status.PASS] == [(Status.FAIL, ("n5",))]


def test_no_compiler_is_said_of_its_node():
    own, _ = judged(measured(builds={"n2": "no compiler: mpicc is not in PATH"}))
    assert own["n2"].status is Status.FAIL
    assert "no compiler" in own["n2"].seen


def test_floors_of_the_site_are_kept():
    (bad,) = failures(judged(measured(), fabric_min_bandwidth=11950)[1])
    assert "6 of 12 directions" in bad.seen
    (bad,) = failures(judged(measured(), fabric_max_latency=1.2)[1])
    assert bad.evidence["worst"] == 1.5
    assert not failures(judged(measured(), fabric_min_bandwidth=11000, fabric_max_latency=2)[1])


@pytest.mark.parametrize(("prefix", "packaged"), [("/usr", True), ("/opt/openmpi5", False)])
def test_only_the_parameter_files_that_this_installation_reads_are_asked_for(prefix, packaged):
    declared = {**fabric.DEFAULTS, "openmpi_prefix": prefix, "ssh_mesh_user": "ddl"}
    paths = fabric.wants(Intent("n1", declared))["params"]["patterns"]
    assert f"{prefix}/etc/openmpi-mca-params.conf" in paths
    assert ("/etc/openmpi*/openmpi-mca-params.conf" in paths) == packaged


# ---- what carried the bytes ----
DOWN = {"ports": {"/sys/class/infiniband/rxe0/ports/1/state": "1: DOWN\n"}}
ACTIVE = {"ports": {"/sys/class/infiniband/mlx5_0/ports/1/state": "4: ACTIVE\n"}}


def on(shares, transport, files=None, **values):
    found = measured()
    found.counters = {}
    carry(found, shares)
    if values:
        for node in found.nodes:
            found.ranks[node].update(values)
    return judged(found, files=files, openmpi_transport=transport)[0]["n1"]


@pytest.mark.parametrize(
    ("shares", "kind"),
    [
        (VERBS, "verbs"),
        ({"ib:rxe0/1:packets": 0.001, "net:ens3": 1.1}, "verbs"),
        ({"ib:efa_0/1:hwbytes": 1.0}, "verbs"),
        ({"net:eth0": 1.03, "net:docker0": 0.001}, "tcp"),
        ({"net:ib0": 1.02, "ib:mlx5_0/1:bytes": 1.05}, "tcp"),
        ({"net:eth0": 1.1, "ib:rxe0/1:packets": 0.0}, "tcp"),
    ],
)
def test_the_counters_say_what_carried_the_bytes(shares, kind):
    assert on(shares, "any").evidence["carrier"] == kind


@pytest.mark.parametrize("transport", ["verbs", "tcp"])
def test_a_transport_that_was_declared_and_not_seen_is_unknown(transport):
    # Counters that were lost on the way, or `--sizes 8`.
    found = measured()
    found.counters = {}
    verdict = judged(found, files=ACTIVE, openmpi_transport=transport)[0]["n1"]
    assert (verdict.status, verdict.evidence["carrier"]) == (Status.UNKNOWN, None)
    assert "too little was sent to tell" in verdict.cause
    assert judged(found)[0]["n1"].status is Status.PASS  # nothing was promised


def test_verbs_that_was_verbs_passes():
    assert on(VERBS, "verbs", ACTIVE).status is Status.PASS


@pytest.mark.parametrize(
    ("files", "rank", "word", "remedy"),
    [
        ({}, {}, "no InfiniBand or RoCE device", "inspect"),
        ({"ports": {"/sys/class/infiniband/mlx5_0/ports/1/state": "1: DOWN\n"}}, {}, "mlx5_0/1 is down", "inspect"),
        (
            {**ACTIVE, "params": {"/etc/openmpi/openmpi-mca-params.conf": "# x\npml = ^ucx\n"}},
            {},
            "switches UCX off",
            "openmpi",
        ),
        (ACTIVE, {"memlock_soft": "64"}, "64 KiB", "memlock"),
        (ACTIVE, {}, "chose TCP", "openmpi"),
    ],
)
def test_verbs_that_was_tcp_fails_and_the_cause_is_looked_for(files, rank, word, remedy):
    verdict = on({"net:eth0": 1.03}, "verbs", files, **rank)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, remedy)
    assert word in verdict.cause


def test_tcp_that_was_verbs_fails():
    assert on(VERBS, "tcp").status is Status.FAIL


def test_bytes_that_no_device_counted_are_unknown():
    assert on({"net:eth0": 0.001}, "any").status is Status.UNKNOWN
    assert on({"net:lo": 1.0}, "any").status is Status.UNKNOWN


def test_what_is_not_a_measurement_is_unknown():
    with pytest.raises(NotSeen):
        fabric.judge({"fabric": Answer(data=[1])}, Intent("n1", {"openmpi_transport": "any"}))
    with pytest.raises(NotSeen):
        fabric.judge({"fabric": Answer(why="not asked")}, Intent("n1", {"openmpi_transport": "any"}))


def test_nodes_that_share_cores_are_in_doubt_where_others_are_broken():
    found = measured()
    for pair in found.pairs:
        if "n2" in (pair["a"], pair["b"]):
            pair["bw"][0].update(ab=1200.0, ba=1190.0, both=2000.0)
    _, broken = judged(found)
    _, doubted = judged(found, fabric_shared_cores=True)
    assert [v.status for v in broken if v.nodes == ("n2",)] == [Status.FAIL]
    assert [v.status for v in doubted if v.nodes == ("n2",)] == [Status.WARN]
    assert not failures(doubted)


def test_a_rank_that_waited_for_a_core_is_judged_by_its_best_where_cores_are_shared():
    found = measured()
    for pair in found.pairs[:3]:
        pair["lat"][0].update(median=4000.0, p99=9000.0)
    assert failures(judged(found)[1])
    assert [v.status for v in judged(found, fabric_shared_cores=True)[1]] == [Status.PASS]


def test_a_hung_pair_is_broken_whoever_shares_cores():
    found = measured()
    found.hung = [{"a": "n1", "b": "n2", "during": "latency", "by": ["n1"]}]
    assert failures(judged(found, fabric_shared_cores=True)[1])


@pytest.mark.parametrize(
    "fault", [{"unstarted": {"n2": {"cause": "no", "remedy": "ssh_mesh", "text": ""}}}, {"pairs": [], "counters": {}}]
)
def test_where_nothing_was_carried_a_port_that_is_down_is_the_cause(fault):
    found = measured(**fault)
    found.counters = {}
    own, _ = judged(found, files=DOWN, openmpi_transport="verbs")
    assert own["n2"].status is Status.FAIL
    assert own["n2"].cause == "no port is active: rxe0/1 is down"
    own, _ = judged(found, files=ACTIVE, openmpi_transport="verbs")
    assert getattr(own["n2"], "cause", "") != "no port is active: rxe0/1 is down"
    own, _ = judged(found, files=DOWN, openmpi_transport="any")
    assert getattr(own["n2"], "cause", "") != "no port is active: rxe0/1 is down"
