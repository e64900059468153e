"""What broken nodes really said, judged again: every fault of the lab's that was captured, without a lab."""

from __future__ import annotations

import re

import pytest

from ddlcheck.lab.faults import EVERY, FAULTS
from tests.checks.machine import Cluster

CAPTURED = [name for name, fault in FAULTS.items() if fault.promise not in (EVERY, "fabric")]


@pytest.mark.parametrize("name", CAPTURED)
def test_a_captured_fault_is_seen_on_its_node_with_a_cause_that_names_it(name):
    fault = FAULTS[name]
    it = Cluster(fault.promise)
    node = it.overlay(name)
    verdicts = [v for v in it.bad() if node in v.nodes]
    assert any(v.status.name == fault.status and re.search(fault.cause, f"{v.cause} | {v.seen}") for v in verdicts)
    assert not fault.remedy or fault.remedy in {v.remedy for v in verdicts}


@pytest.mark.parametrize("name", [n for n in CAPTURED if FAULTS[n].on == "node"])
def test_a_captured_fault_is_held_against_no_other_node(name):
    it = Cluster(FAULTS[name].promise)
    node = it.overlay(name)
    assert [v for v in it.bad() if node not in v.nodes] == []


@pytest.mark.parametrize("check", sorted({FAULTS[name].promise for name in CAPTURED}))
def test_the_ready_cluster_it_was_captured_on_keeps_every_promise(check):
    assert Cluster(check).bad() == []
