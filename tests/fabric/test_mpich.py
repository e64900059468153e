"""MPICH between nodes that are network namespaces: its launcher is another one, the promises are the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ddlcheck.fabric.local import LocalHead
from ddlcheck.fabric.options import Options
from ddlcheck.fabric.stage import measure
from tests.fabric.namespaces import Namespaces

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def mpich():
    named = os.environ.get("DDLCHECK_MPICH", "")
    if not named:
        pytest.fail("no MPICH here: `make` names one in DDLCHECK_MPICH")
    return Path(named)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with Namespaces(4, tmp_path_factory.mktemp("mpich"), prefix="fm", net=81) as up:
        yield up


def run(nodes, mpich, head=None):
    options = Options(
        ms=30, patience=4, start=20, time_budget=90, shared_cores=True, agent=str(nodes.agent),
        mpirun=str(mpich), mpicc=str(mpich.parent / "mpicc"),
        # Nodes of one kernel: UCX would find shared memory between them.
        env={"UCX_TLS": "self,tcp"},
    )  # fmt: skip
    head = head or LocalHead(prefix=nodes.enter(nodes.names[0]))
    return measure(head, {f"node{i + 1}": name for i, name in enumerate(nodes.names)}, options)


def met(found):
    return {frozenset((p["a"], p["b"])) for p in found.pairs}


def left_over(nodes):
    end = time.monotonic() + 10
    while any(nodes.pids(name) for name in nodes.names) and time.monotonic() < end:
        time.sleep(0.1)
    return [pid for name in nodes.names for pid in nodes.pids(name)]


def test_every_pair_is_measured_over_the_network_and_nothing_is_left_running(nodes, mpich):
    found = run(nodes, mpich)
    assert found.failure == {}
    assert found.mpi.startswith("MPICH")
    assert len(met(found)) == 6
    assert all(p["bad"] == 0 and p["via"] == ["net:eth0", "net:eth0"] for p in found.pairs)
    assert "MPICH" in found.ranks["node3"]["mpi"]
    assert left_over(nodes) == []


class Killing(LocalHead):
    """Kills the rank on a node, once, as soon as the first pair is measured."""

    def __init__(self, nodes, node):
        super().__init__(prefix=nodes.enter(nodes.names[0]))
        self.nodes, self.node, self.killed = nodes, node, []

    def stream(self, argv, **more):
        for line in super().stream(argv, **more):
            if '"t":"pair"' in line and not self.killed:
                for pid in self.nodes.pids(self.node):
                    if Path(f"/proc/{pid}/comm").read_text().startswith("rank-"):
                        os.kill(pid, signal.SIGKILL)
                        self.killed.append(pid)
            yield line


def test_a_rank_that_is_killed_is_named_and_all_pairs_are_measured(nodes, mpich):
    head = Killing(nodes, nodes.names[2])
    found = run(nodes, mpich, head)
    assert head.killed
    assert found.died == {"node3": "signal 9"}
    assert len(met(found)) == 6
    assert left_over(nodes) == []


def test_where_a_pair_s_packets_are_refused_the_launch_fails_and_says_so(nodes, mpich):
    # UCX connects everybody with everybody before MPI is up: one pair keeps all of them from starting.
    nodes.block("fm2", "fm3", reject=True)
    try:
        found = run(nodes, mpich)
    finally:
        nodes.run("fm2", "iptables", "-F")
    assert found.failure["cause"]
    assert nodes.address("fm2") in found.failure["text"] or nodes.address("fm3") in found.failure["text"]
    assert left_over(nodes) == []
