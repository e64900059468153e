"""What is measured for 1 to N ranks, and what is said of it."""

import json

import numpy as np
import pytest

from ddlcheck.train import digits, learner, network, scaling
from ddlcheck.train.report import Report
from ddlcheck.train.scaling import Place, Speed
from tests.train.ranks import together

DATA = digits.load()


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [(1, [1]), (3, [1, 2, 3]), (8, list(range(1, 9))), (16, [*range(1, 9), 16]), (24, [*range(1, 9), 16, 24])],
)
def test_every_small_number_and_powers_of_two_are_measured(ranks, expected):
    assert scaling.counts(ranks) == expected


@pytest.mark.parametrize(
    ("places", "crowded"),
    [
        ([Place("a", (0,)), Place("a", (1,))], False),
        ([Place("a", (0,)), Place("b", (0,))], False),
        ([Place("a", (0, 1)), Place("a", (0, 1))], False),
        ([Place("a", (0,)), Place("a", (0,))], True),
        ([Place("b", (0, 1)), *[Place("a", (0, 1))] * 3], True),
    ],
)
def test_more_ranks_than_cores_are_seen(places, crowded):
    assert scaling.crowded(places) is crowded


def test_all_ranks_get_the_same_table_and_one_rank_is_its_own_measure():
    model = network.Network(64, 4, 10)
    places = [Place("a", (0,)), Place("b", (0,)), Place("b", (1,))]
    work = scaling.Work(model, DATA, 7, 0.003, 0.02)
    tables = together(3, lambda ranks: scaling.measure(ranks, work, places))
    assert tables[0] == tables[1] == tables[2]
    assert [(one.ranks, one.hosts) for one in tables[0]] == [(1, 1), (2, 2), (3, 2)]
    assert tables[0][0].efficiency == 1.0
    assert all(one.efficiency == pytest.approx(one.samples / one.ranks / tables[0][0].samples) for one in tables[0])


def report(**more):
    proof = learner.Proof(("aa", "aa"), ("d", "d"), 1e-15)
    words = {
        "places": [Place("a", (0,)), Place("b", (0,))], "library": "Open MPI v4.1.4", "backend": "numpy 2",
        "plan": learner.Plan(240, 3, 0.003, 1), "losses": [2.0, 1.0, 0.5], "proof": proof, "right": 0.875,
        "tested": 357, "speeds": [Speed(1, 1, 1000.0, 1.0), Speed(2, 2, 1500.0, 0.75)],
    }  # fmt: skip
    return Report(**{**words, **more})


def test_the_text_says_what_was_proven_and_the_table():
    text = report().text()
    assert "2 ranks on 2 hosts (a, b): Open MPI v4.1.4, numpy 2" in text
    assert text.count("PASS") == 3
    assert "    2      2        1,500        0.75" in text
    assert "87.5% of 357" in text


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        (learner.Proof(("a", "a", "b"), ("d",) * 3, 0.0), "FAIL  rank 2 ends with other weights than rank 0"),
        (learner.Proof(("a",) * 3, ("d", "x", "x"), 0.0), "FAIL  rank 1, 2 reads other data"),
        (learner.Proof(("a",) * 3, ("d",) * 3, float("inf")), "FAIL  the loss is not that of one rank"),
    ],
)
def test_what_was_not_proven_is_said_and_is_no_success(proof, said):
    one = report(proof=proof, places=[Place(name, (0,)) for name in "abc"])
    assert said in one.text()
    assert not one.proof.holds
    assert one.data()["proven"] is False


def test_one_rank_alone_is_said_to_prove_little():
    assert "nothing was sent" in report(places=[Place("a", (0,))], proof=learner.Proof(("a",), ("d",), 0.0)).text()


def test_the_data_are_numbers_that_json_has():
    data = json.loads(json.dumps(report(losses=[float(x) for x in np.ones(3)]).data()))
    assert (data["ranks"], data["proven"], data["scaling"][1]["efficiency"]) == (2, True, 0.75)
