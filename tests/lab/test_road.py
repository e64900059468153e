"""The road on a cluster that site.yml made ready: proven, broken, fixed, and proven from within."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import jsonschema
import pytest

from ddlcheck import checks

pytestmark = pytest.mark.lab
ROOT = pathlib.Path(__file__).parents[2]
#: What the practice cluster declares nothing of.
UNDECLARED = {"gpfs", "resources"}


def ddlcheck(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "ddlcheck", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=400, cwd=ROOT, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def proof(ready, tmp_path_factory):
    """Everything, judged once: the reports and what was kept."""
    folder = tmp_path_factory.mktemp("proof")
    out = ddlcheck(
        "cluster", ready.inventory, "--json", folder / "r.json", "--junit", folder / "r.xml", "--save", folder / "kept"
    )
    return out, folder


def test_every_promise_is_kept_after_site_yml(proof, ready):
    out, folder = proof
    assert out.returncode == 0, out.stdout + out.stderr
    assert out.stdout.startswith("READY: ")
    assert "on 4 nodes (minsky[1-4])" in out.stdout
    report = json.loads((folder / "r.json").read_text())
    jsonschema.validate(report, json.loads((ROOT / "docs/report.schema.json").read_text()))
    # Where the host is busy, a pair of nodes that share its cores may be in doubt; all else is kept.
    kept = [v for v in report["verdicts"] if v["status"] == "PASS" or (v["status"], v["promise"]) == ("WARN", "fabric")]
    judged = {(v["promise"], node) for v in kept for node in v["nodes"]}
    promised = set(checks.names()) - UNDECLARED
    assert judged == {(name, node.name) for name in promised for node in ready.nodes}


def test_what_was_kept_gives_the_same_verdicts_without_a_cluster(proof):
    out, folder = proof
    again = ddlcheck("cluster", "--replay", folder / "kept", "--json", folder / "again.json")
    assert again.returncode == out.returncode, again.stdout

    def judged(name):
        return [
            (v["promise"], v["status"], v["nodes"], v["seen"])
            for v in json.loads((folder / name).read_text())["verdicts"]
        ]

    assert judged("again.json") == judged("r.json")


def test_nothing_stays_on_the_nodes(proof, ready):
    for node in ready.nodes:
        processes = node.run(["ps", "-eo", "args"]).stdout
        assert "ddlcheck-agent" not in processes
        assert not re.search(r"orted|mpirun|ddlcheck-rank", processes)
        assert "ddlcheck" not in node.run(["ls", "-a", "/tmp"]).stdout


def test_a_node_proves_itself_and_says_what_is_broken(ready):
    node = ready.nodes[1]
    # Its background tier may last have looked while another test had broken the node.
    node.run(["sh", "-c", "systemctl start ddlcheck.service || :"])
    fine = node.run(["ddlcheck-node"])
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert fine.stdout.startswith("READY minsky2: ")
    assert fine.stdout.count("\n") == 1
    node.run(["hostnamectl", "set-hostname", "stranger"])
    try:
        broken = node.run(["ddlcheck-node"])
        assert broken.returncode == 1
        assert re.search(r"^FAIL minsky2 hostname: seen stranger", broken.stdout, re.MULTILINE)
    finally:
        node.run(["hostnamectl", "set-hostname", "ib2"])


def test_fix_applies_the_role_that_the_failure_names_and_proves_it(ready):
    node = ready.nodes[2]
    node.run(["hostnamectl", "set-hostname", "wrong"])
    words = ("fix", ready.inventory, "--only", "hostname")
    refused = ddlcheck(*words, stdin=subprocess.DEVNULL)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    dry = ddlcheck(*words, "--dry-run")
    assert dry.returncode == 1
    assert "site.yml --tags hostname" in dry.stdout
    fixed = ddlcheck(*words, "--yes")
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    assert "FAIL    hostname" in fixed.stdout
    assert fixed.stdout.rstrip().splitlines()[-1].startswith("PASS")


def test_a_node_that_is_frozen_is_could_not_tell_in_time(ready):
    node = ready.nodes[3]
    node.freeze()
    try:
        out = ddlcheck("cluster", ready.inventory, "--only", "hostname,ssh_mesh", "--timeout", "20")
    finally:
        node.thaw()
    assert out.returncode == 3, out.stdout
    assert re.search(r"UNKNOWN .*minsky4 .*(timeout|in time)", out.stdout)
    assert not re.search(r"^FAIL", out.stdout, re.MULTILINE), "others are not blamed for a node that is away"


def test_a_limit_judges_only_its_hosts(ready):
    out = ddlcheck("cluster", ready.inventory, "--limit", "minsky1,minsky2", "--only", "hosts_file,ssh_mesh")
    assert out.returncode == 0, out.stdout
    assert "2 nodes (minsky[1-2])" in out.stdout
