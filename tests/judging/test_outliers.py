import resource
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddlcheck.judging import outliers
from ddlcheck.judging.matrix import Matrix


def simulate(n, seed, *, racks=1, metric="bandwidth"):
    """A few per cent of noise, one value in a hundred with an exponential tail, nodes that differ by 1 %."""
    r = np.random.default_rng(seed)
    rack = np.arange(n) * racks // n
    slow = r.normal(0, 0.03, (n, n)) + np.where(r.random((n, n)) < 0.01, r.exponential(0.05, (n, n)), 0)
    slow += np.where(rack[:, None] == rack[None, :], 0, 0.34)
    slow += r.normal(0, 0.01, n)[:, None] + r.normal(0, 0.01, n)[None, :]
    if metric == "latency":  # half a round trip has no direction
        slow = np.triu(slow, 1) + np.triu(slow, 1).T
    table = 12000 / np.exp(slow) if metric == "bandwidth" else 1.5 * np.exp(slow)
    np.fill_diagonal(table, np.nan)
    return table, [f"n{i:04}" for i in range(n)], rack


def worse(table, metric, where, factor):
    table[where] = table[where] / factor if metric == "bandwidth" else table[where] * factor


def judge(table, names, rack=None, metric="bandwidth"):
    racks = {name: str(k) for name, k in zip(names, rack, strict=True)} if rack is not None else None
    return outliers.find(Matrix(names, rack=racks, **{metric: table}))


def named(found):
    return {(c.kind, c.nodes) for c in found.culprits}


@pytest.mark.parametrize("metric", ["bandwidth", "latency"])
@pytest.mark.parametrize(
    ("n", "racks"), [(3, 1), (4, 1), (5, 1), (6, 1), (8, 2), (16, 2), (32, 4), (64, 4), (100, 5), (256, 8)]
)
def test_false_alarms_are_rare(n, racks, metric):
    matrices = 60 if n < 100 else 12
    alarms = 0
    for seed in range(matrices):
        table, names, rack = simulate(n, seed, racks=racks, metric=metric)
        alarms += bool(judge(table, names, rack if racks > 1 else None, metric).culprits)
    assert alarms <= 1 + matrices // 50


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_one_random_fault_is_named_with_its_kind(data):
    n = data.draw(st.integers(3, 256))
    metric = data.draw(st.sampled_from(["bandwidth", "latency"]))
    kind = data.draw(
        st.sampled_from(["node", "pair"] if metric == "latency" else ["node", "send", "receive", "pair", "link"])
    )
    racks = data.draw(st.sampled_from([1, 2, 4])) if n >= 16 else 1
    # Of three nodes' six values, one pair's two are a third of what tells noise from a fault.
    factor = data.draw(st.floats(4.5 if n == 3 else 2.5, 20))
    a = data.draw(st.integers(0, n - 1))
    b = data.draw(st.integers(0, n - 1).filter(lambda x: x != a))
    table, names, rack = simulate(n, data.draw(st.integers(0, 10**6)), racks=racks, metric=metric)
    if kind in ("node", "send"):
        worse(table, metric, (a, slice(None)), factor)
    if kind in ("node", "receive"):
        worse(table, metric, (slice(None), a), factor)
    if kind in ("pair", "link"):
        worse(table, metric, (a, b), factor)
    if kind == "pair":
        worse(table, metric, (b, a), factor)
    nodes = (names[a],) if kind in ("node", "send", "receive") else (names[a], names[b])
    found = judge(table, names, rack, metric)
    assert (kind, tuple(sorted(nodes)) if kind == "pair" else nodes) in named(found)
    # The tail of the noise above makes a value half as good about once in 80 matrices of 256 nodes, seldom twice.
    assert len(found.culprits) <= (2 if n < 100 else 4)


@settings(max_examples=30, deadline=None)
@given(st.integers(12, 128), st.integers(0, 10**6))
def test_a_fifth_of_the_nodes_may_be_slow_and_each_is_named(n, seed):
    table, names, rack = simulate(n, seed)
    slow = np.random.default_rng(seed).choice(n, n // 5, replace=False)
    for i in slow:
        worse(table, "bandwidth", (i, slice(None)), 3)
        worse(table, "bandwidth", (slice(None), i), 3)
    found = judge(table, names, rack)
    assert {nodes[0] for kind, nodes in named(found) if kind == "node"} == {names[i] for i in slow}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_nine_faults_and_nothing_else_are_found_among_a_thousand_nodes(seed, declared):
    table, names, rack = simulate(1024, seed, racks=32)
    for k in (5, 100, 900):
        worse(table, "bandwidth", (k, slice(None)), 2)
        worse(table, "bandwidth", (slice(None), k), 2)
    pairs = [(1, 2), (3, 700), (44, 45), (500, 501), (10, 20)]
    for a, b in pairs:
        worse(table, "bandwidth", (a, b), 2.5)
        worse(table, "bandwidth", (b, a), 2.5)
    worse(table, "bandwidth", (7, 77), 4)
    began = time.process_time()
    found = judge(table, names, rack if declared else None)
    assert time.process_time() - began < 20, "the figure is bench/fabric_simulated.py's; this guards against a blow-up"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 500 * 1024
    expected = {("node", (names[k],)) for k in (5, 100, 900)} | {("pair", (names[a], names[b])) for a, b in pairs}
    assert named(found) == expected | {("link", (names[7], names[77]))}


def test_two_nodes_have_no_peers_but_two_directions():
    table = np.array([[np.nan, 100.0], [1000.0, np.nan]])
    found = outliers.find(Matrix(["a", "b"], bandwidth=table))
    assert named(found) == {("link", ("a", "b"))}
    assert "no peers" in found.notes[-1]
    table[0, 1] = 990
    assert not outliers.find(Matrix(["a", "b"], bandwidth=table)).culprits


def test_three_nodes_say_what_cannot_be_told():
    table, names, _ = simulate(3, 1)
    assert "cannot be told" in judge(table, names).notes[-1]


def test_the_ratio_is_measured_to_expected():
    table, names, _ = simulate(16, 1)
    worse(table, "bandwidth", (3, slice(None)), 4)
    assert judge(table, names).culprits[0].ratio == pytest.approx(0.25, rel=0.1)


def test_racks_with_other_figures_are_no_fault_declared_or_not():
    table, names, rack = simulate(64, 1, racks=4)
    assert not judge(table, names, rack).culprits
    found = judge(table, names)
    assert not found.culprits
    assert found.inferred
    assert len(set(found.racks.values())) == 4


def test_holes_are_no_faults():
    table, names, _ = simulate(24, 1)
    table[np.random.default_rng(0).random(table.shape) < 0.7] = np.nan
    assert not judge(table, names).culprits


@given(st.integers(2, 6), st.integers(0, 10**6), st.floats(0, 1))
def test_no_matrix_makes_the_judge_fall(n, seed, holes):
    r = np.random.default_rng(seed)
    table = 10 ** r.uniform(-9, 9, (n, n))
    table[r.random((n, n)) < holes] = np.nan
    np.fill_diagonal(table, np.nan)
    for metric in ("bandwidth", "latency"):
        for culprit in outliers.find(Matrix([f"n{i}" for i in range(n)], **{metric: table})).culprits:
            assert culprit.slower > 1
