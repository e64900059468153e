"""MPI between nodes that are network namespaces: every fault is seen, and localised."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ddlcheck.checks import fabric
from ddlcheck.errors import NotSeen
from ddlcheck.fabric.local import LocalHead
from ddlcheck.fabric.options import Options
from ddlcheck.fabric.second import suspected
from ddlcheck.fabric.stage import measure
from ddlcheck.fabric.stream import UNKNOWN_SIGNAL
from ddlcheck.intent import Intent
from ddlcheck.judging import blame, matrix, outliers
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.fabric.namespaces import Namespaces

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with Namespaces(4, tmp_path_factory.mktemp("ns"), prefix="ft", net=79) as up:
        yield up


@pytest.fixture
def clean(nodes):
    yield nodes
    for name in nodes.names:
        nodes.differs(name, "")
        subprocess.run([*nodes.enter(name), "ip", "link", "del", "docker0"], check=False, capture_output=True)
        subprocess.run([*nodes.enter(name), "iptables", "-F"], check=False, capture_output=True)
        subprocess.run(
            [*nodes.enter(name), "tc", "qdisc", "del", "dev", "eth0", "root"], check=False, capture_output=True
        )
        for pid in nodes.pids(name):
            os.kill(pid, signal.SIGKILL)


def run(nodes, *, head=None, names=None, progress=lambda _: None, suspects=suspected, **more):
    hosts = names or {f"node{i + 1}": name for i, name in enumerate(nodes.names)}
    options = Options(
        ms=30, patience=4, shared_cores=True, agent=str(nodes.agent), time_budget=90, **{"start": 20, **more}
    )
    head = head or LocalHead(prefix=nodes.enter(nodes.names[0]))
    return measure(head, hosts, options, progress=progress, suspects=suspects)


def left_over(nodes):
    end = time.monotonic() + 5
    while any(nodes.pids(name) for name in nodes.names) and time.monotonic() < end:
        time.sleep(0.1)
    return [pid for name in nodes.names for pid in nodes.pids(name)]


def met(found, number=None):
    """Return the pairs that were measured (in that pass: on a busy machine something may look slow, and is again)."""
    return {frozenset((p["a"], p["b"])) for p in found.pairs if number in (None, p["pass"])}


def test_every_pair_is_measured_by_node_name_and_nothing_is_left_running(clean):
    found = run(clean)
    assert found.failure == {}
    assert len(met(found)) == 6
    assert set(found.ranks) == {"node1", "node2", "node3", "node4"}
    assert all(p["bad"] == 0 and p["via"] == ["net:eth0", "net:eth0"] for p in found.pairs)
    assert found.ranks["node2"]["host"] == "ft2"
    assert found.ranks["node2"]["memlock_soft"]
    sent = found.counters["node2"]["one_way"]
    assert sent["moved"]["net:eth0"][0] >= sent["payload"] > 0
    assert left_over(clean) == []


@pytest.mark.parametrize(
    ("script", "word", "remedy"),
    [
        ("#!/bin/sh\necho hello\n", "no kind that is known here: hello", "openmpi"),
        (None, "may not be executed", "inspect"),
    ],
    ids=["of no known kind", "barred"],
)
def test_an_mpirun_that_cannot_be_used_is_a_verdict_and_not_the_end_of_the_report(
    clean, tmp_path, script, word, remedy
):
    mpirun = tmp_path / "mpirun"
    mpirun.write_text(script or "#!/bin/sh\n")
    mpirun.chmod(0o755 if script else 0o644)
    found = run(clean, mpirun=str(mpirun))
    assert word in found.failure["cause"]
    assert found.failure["remedy"] == remedy
    assert found.pairs == []


def test_one_wrong_byte_of_one_message_is_found_with_its_place(clean, tmp_path):
    source, library = Path(__file__).with_name("damage.c"), tmp_path / "damage.so"
    subprocess.run(["mpicc", "-shared", "-fPIC", "-o", library, source], check=True)
    found = run(clean, env={"LD_PRELOAD": str(library), "DAMAGE": "flip"}, suspects=None)
    (hurt,) = [p for p in found.pairs if p["bad"]]
    assert "node2" in (hurt["a"], hurt["b"])
    assert (hurt["bad"], hurt["at"]) == (1, 54321)
    assert [set(nodes) for nodes, said in judged(found) if "arrived wrong" in said] == [{hurt["a"], hurt["b"]}]


def test_a_pair_whose_packets_are_dropped_is_named_and_the_others_are_measured(clean):
    clean.block("ft2", "ft3")
    found = run(clean)
    assert [{h["a"], h["b"]} for h in found.hung] == [{"node2", "node3"}]
    assert len(met(found)) == 5
    assert left_over(clean) == []


def test_a_node_that_is_slow_in_what_it_sends_is_named(clean):
    clean.shape("ft2", "100mbit")
    found = run(clean)
    culprits = [
        c for c in outliers.find(matrix.from_pairs(found.nodes, found.pairs)).culprits if c.metric == "bandwidth"
    ]
    # A machine that does other work may slow something else down as well, but not to a third.
    (found_slow,) = [c for c in culprits if c.ratio < 0.3]
    assert (found_slow.kind, found_slow.nodes) == ("send", ("node2",))
    assert any(p["pass"] == 2 for p in found.pairs)


def test_a_node_that_stops_in_the_middle_is_named_and_the_others_are_measured(clean):
    done = []

    class Stopping(LocalHead):
        def stream(self, argv, **more):
            for line in super().stream(argv, **more):
                if '"t":"pair"' in line and not done:
                    done.extend(clean.pids("ft3"))
                    for pid in done:
                        os.kill(pid, signal.SIGSTOP)
                yield line

    found = run(clean, head=Stopping(prefix=clean.enter("ft1")))
    assert done
    assert found.silent == ["node3"]
    assert {frozenset(("node1", "node2")), frozenset(("node1", "node4")), frozenset(("node2", "node4"))} <= met(found)


class Killing(LocalHead):
    """Kills (or stops) what runs a program on a node when a line holds the mark: once, or again and again."""

    def __init__(self, nodes, node, program, mark, sign=signal.SIGKILL, *, again=False):
        super().__init__(prefix=nodes.enter(nodes.names[0]))
        self.nodes, self.node, self.program, self.mark, self.sign = nodes, node, program, mark, sign
        self.again = again
        self.killed = []

    def stream(self, argv, **more):
        for line in super().stream(argv, **more):
            if self.mark in line and (self.again or not self.killed):
                for pid in self.nodes.pids(self.node):
                    with contextlib.suppress(OSError):
                        if Path(f"/proc/{pid}/comm").read_text().startswith(self.program):
                            os.kill(pid, self.sign)
                            self.killed.append(pid)
            yield line


def judged(found):
    """Return the failures, as the check has them: (status, nodes, cause)."""
    declared = {**fabric.DEFAULTS, "openmpi_transport": "any", "openmpi_prefix": "/usr", "openmpi_cuda": False}
    declared["fabric_shared_cores"] = True
    intents = {node: Intent(node, declared, dict.fromkeys(found.nodes, declared)) for node in found.nodes}
    seen = {node: {"fabric": Answer(data=part)} for node, part in json.loads(json.dumps(found.by_node())).items()}
    out = []
    for node, one in seen.items():
        with contextlib.suppress(NotSeen):
            verdict = fabric.judge(one, intents[node])
            verdict.nodes = (node,)
            out.append(verdict)
    out += fabric.judge_together(seen, intents)
    return [(v.nodes, f"{v.cause} | {v.seen}") for v in out if v.status is Status.FAIL]


def test_a_rank_that_is_killed_in_the_middle_is_named_and_all_pairs_are_measured(clean):
    said, tried = "", []
    # Of 30 witnesses beside two ranks that kept both cores busy, 2 came too late to read the signal; 3 in a row do not.
    while not said or (UNKNOWN_SIGNAL in said and len(tried) < 3):
        head = Killing(clean, "ft2", "rank-", '"t":"pair"')
        found = run(clean, head=head)
        assert head.killed
        assert len(met(found)) == 6
        ((nodes, said),) = judged(found)
        assert nodes == ("node2",)
        tried.append(said)
    assert "signal 9" in said, tried


def test_a_rank_that_is_killed_in_every_launch_is_left_out_and_the_others_are_measured(clean):
    head = Killing(clean, "ft2", "rank-", '"t":"rank","rank":1', again=True)
    found = run(clean, head=head)
    assert {frozenset(("node1", "node3")), frozenset(("node1", "node4")), frozenset(("node3", "node4"))} <= met(found)
    ((nodes, said),) = judged(found)
    assert nodes == ("node2",)
    assert "its rank was ended by" in said


def test_a_hub_that_is_stopped_is_named_though_its_daemon_lets_it_go_on_to_end_it(clean):
    head = Killing(clean, "ft1", "rank-", '"t":"rank","rank":0', signal.SIGSTOP)
    found = run(clean, head=head)
    assert head.killed
    assert {frozenset(("node2", "node3")), frozenset(("node2", "node4")), frozenset(("node3", "node4"))} <= met(found)
    ((nodes, said),) = judged(found)
    assert nodes == ("node1",)
    assert "hung in the middle" in said


def test_nothing_is_left_when_the_launcher_is_killed(clean):
    head = Killing(clean, "ft1", "mpirun", '"t":"pair"')
    run(clean, head=head)
    assert head.killed
    assert left_over(clean) == []


def test_a_node_to_which_large_packets_are_lost_is_named_with_the_mtu_though_nothing_starts(clean):
    clean.run("ft3", "iptables", "-A", "INPUT", "-p", "tcp", "-m", "length", "--length", "1500:65535", "-j", "DROP")
    found = run(clean, start=10)
    assert {frozenset(("node1", "node2")), frozenset(("node1", "node4")), frozenset(("node2", "node4"))} == met(found)
    ((nodes, said),) = judged(found)
    assert nodes == ("node3",)
    assert "MTU" in said


def test_two_nodes_of_one_name_are_named(clean):
    clean.differs("ft3", "name=ft2")
    ((nodes, said),) = judged(run(clean))
    assert nodes == ("node2", "node3")
    assert "one host name" in said


def test_a_node_with_another_mpi_is_named(clean):
    other = Path(os.environ["DDLCHECK_MPIRUN"]).parent
    clean.differs("ft3", f"export PATH={other}:$PATH")
    ((nodes, said),) = judged(run(clean))
    assert nodes == ("node3",)
    assert "different versions of MPI" in said


def bridge(nodes, *names):
    script = "ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up"
    for name in names:
        nodes.run(name, "sh", "-c", script)


def test_a_bridge_with_the_same_address_on_every_node_is_named_where_it_is_offered(clean):
    bridge(clean, *clean.names)
    ((nodes, said),) = judged(run(clean))
    assert nodes == ("node1", "node2", "node3", "node4")
    assert "172.17.0.1 of docker0" in said
    # Told which interface to use, MPI works.
    found = run(clean, interfaces=["eth0"])
    assert len(met(found)) == 6
    assert judged(found) == []


def test_a_bridge_with_the_same_address_on_some_nodes_is_said_of_these_and_the_others_are_measured(clean):
    bridge(clean, "ft3", "ft4")
    found = run(clean)
    ((nodes, said),) = judged(found)
    assert nodes == ("node3", "node4")
    assert "172.17.0.1 of docker0" in said
    assert len(met(found)) == 5


def test_two_names_for_one_node_are_refused_or_noticed(clean):
    found = run(clean, names={"node1": "ft1", "alias": "10.79.0.1", "node2": "ft2"})
    stacks = [facts.get("stack") for facts in found.ranks.values()]
    assert found.failure or len(stacks) != len(set(stacks))


def test_no_compiler_is_said_by_every_node(clean):
    found = run(clean, mpicc="/nonexistent/mpicc")
    assert "no compiler" in next(iter(found.builds.values()))
    assert "could not be built" in found.failure["cause"]
    assert left_over(clean) == []


def test_no_mpirun_is_said(clean):
    assert "no mpirun" in run(clean, mpirun="/nonexistent/mpirun").failure["cause"]


def test_nothing_is_left_when_the_reader_goes_away(clean):
    class Leaving(LocalHead):
        def stream(self, argv, **more):
            for line in super().stream(argv, **more):
                if '"t":"pair"' in line:
                    raise KeyboardInterrupt
                yield line

    with pytest.raises(KeyboardInterrupt):
        run(clean, head=Leaving(prefix=clean.enter("ft1")))
    assert left_over(clean) == []


def test_a_sample_of_rounds_is_said(clean):
    found = run(clean, pairs="sample:1")
    assert found.rounds == {"of": 3, "planned": 1, "done": 1}
    assert len(met(found, 1)) == 2


def test_several_ranks_a_node_measure_their_rails(clean):
    found = run(clean, per_node=2, pairs="sample:1")
    assert sorted(p["rail"] for p in found.pairs if p["pass"] == 1) == [0, 0, 1, 1]
    assert list(
        blame.judge(
            matrix.from_pairs(found.nodes, found.pairs), outliers.find(matrix.from_pairs(found.nodes, found.pairs))
        )
    )
