"""The role health_gate: a gate on every node that answers root and everybody, and that the role mends."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.lab

GATE = "/usr/local/sbin/ddlcheck-node"


def said(cluster: Any, node: str, words: str = "") -> tuple[int, str]:
    """Return the gate's exit status and words."""
    out = cluster.on(node, f"{GATE} {words} 2>&1; echo $?").splitlines()
    return int(out[-1]), "\n".join(out[:-1])


def test_every_node_is_ready_by_its_own_gate(cluster: Any) -> None:
    for node in cluster.lab.nodes:
        status, text = said(cluster, node.name)
        assert (status, text.split(":")[0]) == (0, f"READY {node.name}"), text
        assert all(promise in text for promise in ("hostname", "memlock", "clock", "hosts_file", "openmpi"))


def test_an_ordinary_user_asks_it_too(cluster: Any) -> None:
    assert cluster.session("minsky2", GATE).startswith("READY minsky2")


def test_its_verdict_is_root_s_and_fresh(cluster: Any) -> None:
    modes = cluster.on("minsky2", "stat -c '%a %U' /run/ddlcheck /run/ddlcheck/status.json /etc/ddlcheck/intent.json")
    assert modes.splitlines() == ["755 root", "644 root", "644 root"]
    assert said(cluster, "minsky2", "--last 600")[0] == 0
    assert (
        cluster.on("minsky2", "systemctl is-active ddlcheck.timer; systemctl is-enabled ddlcheck.timer")
        == "active\nenabled"
    )


def test_it_is_compiled_and_starts_without_site(cluster: Any) -> None:
    loaded = cluster.on("minsky2", f"python3 -ISX importtime {GATE} --quiet 2>&1 | grep -c 'import time'")
    assert 20 < int(loaded) < 90
    assert cluster.on("minsky2", "find /usr/local/lib/ddlcheck -name 'look.cpython-*.pyc' | wc -l") == "1"


def test_what_breaks_between_two_background_runs_is_seen_at_once(cluster: Any) -> None:
    cluster.on("minsky3", 'prlimit --pid "$(systemctl show -p MainPID --value ssh)" --memlock=65536:65536')
    try:
        status, text = said(cluster, "minsky3")
        assert (status, text.startswith("FAIL minsky3 memlock: seen 64 KiB (ssh.service)")) == (1, True), text
        assert json.loads(cluster.on("minsky3", "cat /run/ddlcheck/status.json"))["exit"] == 1
    finally:
        cluster.on("minsky3", "systemctl restart ssh")
    assert said(cluster, "minsky3")[0] == 0


def test_an_edited_intent_is_refused_and_mended(cluster: Any) -> None:
    cluster.on("minsky2", 'sed -i \'s/"8192"/"4096"/\' /etc/ddlcheck/intent.json')
    status, text = said(cluster, "minsky2")
    assert (status, "does not match its hash" in text) == (2, True)
    run = cluster.mend("health_gate")
    assert run.status == 0, run.said[-3000:]
    assert {host: bool(n) for host, n in run.changed.items()} == {"minsky1": False, "minsky2": True, "minsky3": False}
    assert said(cluster, "minsky2")[0] == 0


def test_a_peer_s_intent_is_refused(cluster: Any) -> None:
    peer = cluster.on("minsky1", "cat /etc/ddlcheck/intent.json")
    cluster.on("minsky2", f"umask 022; cat > /run/peer.json <<'END'\n{peer}\nEND\nchmod 644 /run/peer.json")
    status, text = said(cluster, "minsky2", "--intent /run/peer.json --status ''")
    assert (status, "is for minsky1, and this host is 'ib2'" in text) == (2, True)


def test_a_controller_that_cannot_import_it_says_so_in_one_sentence(cluster: Any) -> None:
    run = cluster.mend("health_gate", "-e", "_health_gate_controller=/usr/bin/python3")
    assert run.status != 0
    assert all("ddlcheck cannot be imported by /usr/bin/python3" in why for why in run.failed.values())
    assert run.failed
