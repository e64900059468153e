import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck.errors import UsageError
from ddlcheck.judging import matrix

GOOD = {"nodes": ["a", "b"], "bandwidth_MBps": [[None, 2], [3.5, None]]}


def test_a_matrix_is_read_row_to_column():
    found = matrix.load(json.dumps(GOOD))
    assert found.bandwidth[0, 1] == 2
    assert found.bandwidth[1, 0] == 3.5
    assert np.isnan(found.bandwidth[0, 0])
    assert found.latency is None


def test_what_is_written_is_read_again():
    found = matrix.load(json.dumps({**GOOD, "latency_us": [[None, 1], [None, None]], "rack": {"a": "r1"}}))
    again = matrix.load(json.dumps(found.to_json()))
    assert again.rack == {"a": "r1"}
    assert np.array_equal(again.latency, found.latency, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"nodes": ["a", "a"]}, "twice"),
        ({"nodes": ["a"]}, "needs two"),
        ({"nodes": []}, "needs two"),
        ({"nodes": "ab"}, "list of names"),
        ({"nodes": ["a", ""]}, "list of names"),
        ({"nodes": ["a", 1]}, "list of names"),
        ({"bandwidth": []}, "unknown key 'bandwidth'"),
        ({"bandwidth_MBps": [[None, 2]]}, "1 rows for 2 nodes"),
        ({"bandwidth_MBps": [[None, 2], [3]]}, "row of b has 1 values"),
        ({"bandwidth_MBps": [[None, 2], 3]}, "row of b has no list"),
        ({"bandwidth_MBps": [[None, -2], [3, None]]}, "a to b is negative"),
        ({"bandwidth_MBps": [[None, 0], [3, None]]}, "a to b is zero"),
        ({"bandwidth_MBps": [[None, 1e308], [3, None]]}, "a to b is beyond what can be measured"),
        ({"latency_us": [[None, 2], [1e-308, None]]}, "b to a is beyond what can be measured"),
        ({"bandwidth_MBps": [[1, 2], [3, None]]}, "diagonal"),
        ({"bandwidth_MBps": [[None, "2"], [3, None]]}, "not a number"),
        ({"bandwidth_MBps": [[None, True], [3, None]]}, "not a number"),
        ({"bandwidth_MBps": [[None, 1e999], [3, None]]}, "not a measurement"),
        ({"bandwidth_MBps": [[None, None], [None, None]]}, "no measurement"),
        ({"bandwidth_MBps": None}, "no table"),
        ({"rack": {"c": "1"}}, "not in nodes"),
        ({"rack": ["a"]}, "map node names"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_sentence(change, word):
    with pytest.raises(UsageError, match=word) as caught:
        matrix.load(json.dumps({**GOOD, **change}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "  \n", "{", "[]", "[1]", "nonsense", '{"nodes":["a","b"],"nodes":["a","b"]}',
                                  '{"nodes":["a","b"],"latency_us":[[null,NaN],[1,null]]}'])  # fmt: skip
def test_what_is_no_matrix_is_refused(text):
    with pytest.raises(UsageError):
        matrix.load(text)


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_fall(text):
    with contextlib.suppress(UsageError):
        matrix.load(text)


def test_a_square_csv_is_read():
    found = matrix.load("latency_us,a,b\na,,1.5\nb,2,\n")
    assert (found.latency[0, 1], found.latency[1, 0]) == (1.5, 2)


def test_a_list_as_csv_is_read_and_a_pair_given_twice_is_refused():
    text = "from;to;latency_us;bandwidth_MBps\na;b;1.5;900\nb;a;1.5;\n"
    found = matrix.load(text)
    assert found.bandwidth[0, 1] == 900
    assert np.isnan(found.bandwidth[1, 0])
    with pytest.raises(UsageError, match="given twice"):
        matrix.load(text + "a;b;1;1\n")


MPIGRAPH = (
    "START mpiGraph v1.5\nMsgSize\t1048576\nTimes\t10\nWindow\t10\nProcs\t2\n\n1 of 2 (50.0%)\nGathering results\n\n"
    "Send max\t3.0\nSend avg\t2.0\n\nSend\tnode1:0\tnode2:1\t\nnode1:0 to\t0.000\t1000.000\t\nnode2:1 to\t2000.000\t0.000\t\n"
    "\nRecv max\t1\nRecv avg\t1\n\nRecv\tnode1:0\tnode2:1\t\nnode1:0 from\t0.000\t5.000\t\nnode2:1 from\t6.000\t0.000\t\nEND mpiGraph\n"
)


def test_mpigraphs_output_is_read_in_its_unit_of_two_to_the_twenty():
    found = matrix.load(MPIGRAPH)
    assert found.nodes == ("node1", "node2")
    assert found.bandwidth[0, 1] == pytest.approx(1048.576)
    assert found.bandwidth[1, 0] == pytest.approx(2097.152)


def test_mpigraphs_output_cut_short_is_refused():
    for end in ("Send max", "node2:1 to"):
        with pytest.raises(UsageError):
            matrix.load(MPIGRAPH[: MPIGRAPH.index(end)])


def test_of_a_pair_measured_twice_the_better_counts():
    pair = {
        "a": "a",
        "b": "b",
        "lat": [{"size": 8, "median": 2.0}],
        "bw": [{"size": 1 << 20, "ab": 10, "ba": 50, "both": 60}],
    }
    again = {
        "a": "a",
        "b": "b",
        "lat": [{"size": 8, "median": 1.0}],
        "bw": [{"size": 1 << 20, "ab": 40, "ba": 45, "both": 80}],
    }
    found = matrix.from_pairs(["a", "b"], [pair, again])
    assert (found.latency[1, 0], found.bandwidth[0, 1], found.bandwidth[1, 0]) == (1.0, 40, 50)
