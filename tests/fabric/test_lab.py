"""What only a run of MPI shows, in the practice cluster: each fault is seen, and said of the right node or pair."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddlcheck import inventory
from ddlcheck.fabric.options import Options
from ddlcheck.fabric.stage import measure
from ddlcheck.lab.faults import FAULTS
from ddlcheck.probes import transport
from ddlcheck.probes.head import AgentHead

pytestmark = pytest.mark.lab
TREE = Path(__file__).parents[2]
#: What the launcher and its ranks are called; nothing of it may outlive a run.
OURS = "for d in /proc/[0-9]*; do read -r c < $d/comm || continue; case $c in rank-*|orted|mpirun) echo $c;; esac; done"


def command(lab, report):
    words = ["fabric", lab.inventory, "--json", report, "--time-budget", "75", "--patience", "4"]
    return [sys.executable, "-m", "ddlcheck", *map(str, words)]


def left_over(lab, seconds=0.0):
    """Return what of a run is on the nodes, after up to so many seconds for it to end."""
    end = time.monotonic() + seconds
    while True:
        found = [
            f"{node.name}: {word}"
            for node in lab.nodes
            for word in node.run(["sh", "-c", f"{{ {OURS}; }} 2>/dev/null"]).stdout.split()
        ]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.3)


def look(lab, folder):
    """Run the command a user would run; return what is not in order."""
    report = folder / "report.json"
    done = subprocess.run(command(lab, report), cwd=TREE, capture_output=True, text=True, timeout=300, check=False)
    assert report.exists(), done.stderr + done.stdout
    return [v for v in json.loads(report.read_text())["verdicts"] if v["status"] in ("FAIL", "WARN")]


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.promise == "fabric"])
def test_a_fault_that_only_mpi_shows_is_said_of_its_node_or_pair(name, ready, tmp_path):
    fault, node, peer = FAULTS[name], ready.nodes[1], ready.nodes[2]
    fault.heal(node)
    try:
        fault.inject(node)
        found = look(ready, tmp_path)
    finally:
        fault.heal(node)
    expected = {node.name, peer.name} if fault.on == "nodes" else {node.name}
    hits = [v for v in found if v["status"] == fault.status and re.search(fault.cause, f"{v['cause']} | {v['seen']}")]
    assert any(set(v["nodes"]) == expected for v in hits), found
    # Nodes that share cores disturb each other: what is broken is another's only if nothing is doubted of it.
    assert [v for v in found if v["status"] == "FAIL" and not set(v["nodes"]) <= expected] == [], found
    assert left_over(ready, 15) == []


def test_a_node_that_hangs_as_a_whole_is_named_and_the_others_are_measured(ready):
    loaded = inventory.load(str(ready.inventory))
    victim = ready.nodes[2]

    class Freezing(AgentHead):
        def stream(self, argv, **more):
            for line in super().stream(argv, **more):
                if '"t":"pair"' in line and victim.state() == "running":
                    victim.freeze()
                yield line

    options = Options(ms=30, patience=4, time_budget=90, shared_cores=True, interfaces=["ib0"])
    hosts = {name: intent.mpi_name for name, intent in loaded.intents.items()}
    try:
        found = measure(Freezing(loaded.nodes[0], "ddl"), hosts, options)
    finally:
        victim.thaw()
        transport.close()
    assert found.silent == [victim.name]
    others = [node.name for node in ready.nodes if node.name != victim.name]
    measured = {frozenset((p["a"], p["b"])) for p in found.pairs}
    assert {frozenset((a, b)) for a in others for b in others if a != b} <= measured
    assert left_over(ready, 20) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_on_any_node_of_a_run_that_was_interrupted_or_killed(ready, tmp_path, sign):
    assert left_over(ready, 30) == []
    with subprocess.Popen(
        command(ready, tmp_path / "report.json"), cwd=TREE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        end = time.monotonic() + 120
        while not any("rank-" in word for word in left_over(ready)):
            assert time.monotonic() < end, "no rank came"
            assert process.poll() is None, "it ended before it was interrupted"
        os.kill(process.pid, sign)
        process.wait(60)
    assert process.returncode not in (0, 1, 2, 3)
    assert left_over(ready, 30) == []
