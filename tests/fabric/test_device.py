"""Device buffers: who exchanges with whom, and real exchanges with a CUDA driver that is a stand-in."""

import subprocess
from pathlib import Path

import pytest

from ddlcheck.fabric import device
from ddlcheck.fabric.local import LocalHead
from ddlcheck.fabric.names import Names
from ddlcheck.fabric.options import Options
from ddlcheck.fabric.stage import measure
from ddlcheck.fabric.stream import Collector
from ddlcheck.judging import device as judging
from ddlcheck.verdict import Status
from tests.fabric.namespaces import Namespaces

DEV = {"n": 18, "size": 1 << 20, "rate": 900.0}


class Fake:
    """Launches whose ranks do as they are told: ``behave[node]`` is a word of `device.exchange`, or bad bytes."""

    def __init__(self, nodes, **behave):
        self.nodes = nodes
        self.behave = behave
        self.launches = []

    def __call__(self, pairs):
        self.launches.append(pairs)
        collector, rank = Collector(), {node: i for i, node in enumerate(self.nodes)}.__getitem__
        events = collector.events
        for node in self.nodes:
            why = "no CUDA device" if self.behave.get(node) == "absent" else ""
            events["cuda"].append({"rank": rank(node), "has": not why, "device": "", "says": 1, "why": why})
        broken = False
        for a, b in pairs:
            how = {self.behave.get(a), self.behave.get(b)}
            if "crash" in how:
                broken = True
                stuck = {"r": 0, "a": rank(a), "b": rank(b), "during": "device buffers", "how": "crash"}
                events["stuck"] += [{"rank": rank(a), **stuck}, {"rank": rank(b), **stuck, "how": "quit"}]
        for a, b in pairs:
            how = {self.behave.get(a), self.behave.get(b)}
            if not broken and not how & {"absent", "crash", "mute"}:
                bad = max((x for x in how if isinstance(x, int)), default=0)
                events["pair"].append({"a": rank(a), "b": rank(b), "bad": bad, "at": 0, "dev": DEV})
        return Names(self.nodes, {n: n for n in self.nodes}, 1, collector), collector


def states(found):
    return {node: one["state"] for node, one in found.items()}


@pytest.mark.parametrize("n", range(2, 8))
def test_every_node_exchanges_with_another(n):
    nodes = [f"n{i}" for i in range(n)]
    fake = Fake(nodes)
    found = device.exchange(fake, nodes)
    assert set(states(found).values()) == {"exchanged"}
    assert len(fake.launches) == 1
    assert all(one["peer"] in nodes and one["peer"] != node for node, one in found.items())


def test_a_node_without_cuda_is_told_and_its_partner_meets_another():
    found = device.exchange(Fake(["n1", "n2", "n3", "n4"], n2="absent"), ["n1", "n2", "n3", "n4"])
    assert states(found) == {"n1": "exchanged", "n2": "absent", "n3": "exchanged", "n4": "exchanged"}
    assert found["n2"]["why"] == "no CUDA device"


def test_a_crash_is_told_of_its_pair_and_the_others_go_on():
    found = device.exchange(Fake(["n1", "n2", "n3", "n4"], n1="crash"), ["n1", "n2", "n3", "n4"])
    assert states(found) == {"n1": "broken", "n2": "broken", "n3": "exchanged", "n4": "exchanged"}
    assert "crashed" in found["n1"]["why"]
    assert found["n1"]["peer"] == "n2"


def test_wrong_bytes_are_not_forgotten_for_a_good_exchange():
    found = device.exchange(Fake(["n1", "n2", "n3"], n2=4), ["n1", "n2", "n3"])
    assert found["n2"]["bad"] == 4
    assert found["n1"]["bad"] == 4


def test_who_is_alone_or_never_came_to_it_is_unknown():
    assert states(device.exchange(Fake(["n1"]), ["n1"])) == {"n1": "unknown"}
    fake = Fake(["n1", "n2"], n1="mute")
    assert states(device.exchange(fake, ["n1", "n2"])) == {"n1": "unknown", "n2": "unknown"}
    assert len(fake.launches) == 1, "what brought nothing is not tried again"


# ---- with MPI ----
@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with Namespaces(3, tmp_path_factory.mktemp("ns"), prefix="fd", net=78) as up:
        yield up


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """Return the folder of a libcuda.so.1 of ours."""
    folder = tmp_path_factory.mktemp("cuda")
    source = Path(__file__).with_name("libcuda.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source], check=True)
    return folder


def run(nodes, driver, monkeypatch, behaviour, **more):
    monkeypatch.setenv("STANDIN_CUDA", behaviour)
    if driver:
        monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    hosts = {f"node{i + 1}": name for i, name in enumerate(nodes.names)}
    options = Options(
        ms=20,
        patience=5,
        shared_cores=True,
        agent=str(nodes.agent),
        time_budget=120,
        cuda=list(hosts),
        sizes=(8,),
        **more,
    )
    found = measure(LocalHead(prefix=nodes.enter(nodes.names[0])), hosts, options, suspects=None)
    assert len(found.pairs) == 3, found.failure
    assert found.hung == [], "an exchange of device buffers says nothing of pairs"
    parts = found.by_node()
    return found.device, list(judging.judge(parts, dict.fromkeys(hosts, True)))


@pytest.mark.lab
def test_device_buffers_are_exchanged_and_compared(nodes, driver, monkeypatch):
    found, verdicts = run(nodes, driver, monkeypatch, "")
    assert {v.status for v in verdicts} == {Status.PASS}
    assert all(one["n"] == 18 and one["gpu"] == "stand-in" and one["rate"] > 0 for one in found.values())


@pytest.mark.lab
@pytest.mark.parametrize(
    ("behaviour", "state", "word"),
    [
        ("fails", "absent", "cuInit: CUDA error 999"),
        ("damages", "exchanged", ""),
        # Memory that no processor can read, as a card's: this MPI is not CUDA-aware, and fails on it.
        ("device", "broken", "device buffers"),
    ],
)
def test_cuda_that_does_not_work_is_a_failure_and_no_exchange_of_host_buffers(
    nodes, driver, monkeypatch, *, behaviour, state, word
):
    found, verdicts = run(nodes, driver, monkeypatch, behaviour)
    assert {v.status for v in verdicts} <= {Status.FAIL, Status.UNKNOWN}
    assert Status.FAIL in {v.status for v in verdicts}
    assert state in {one["state"] for one in found.values()}
    assert any(word in one["why"] for one in found.values())


@pytest.mark.lab
def test_without_a_driver_no_host_buffer_passes_for_a_device_buffer(nodes, monkeypatch):
    _, verdicts = run(nodes, None, monkeypatch, "")
    assert [v.status for v in verdicts] == [Status.FAIL] * 3
    assert all("libcuda.so.1" in v.seen for v in verdicts)
