"""How many ranks go where."""

import pytest

from ddlcheck.ddl import layout
from ddlcheck.ddl.dims import Dims
from ddlcheck.ddl.layout import Wanted
from ddlcheck.ddl.rankfile import Machine
from ddlcheck.ddl.seen import Seen
from ddlcheck.errors import NodeError, UsageError

UNSAID = {"a": 0, "b": 0}
GPU = "\tGPU0\tCPU Affinity\nGPU0\t X \t0-1\n"


def node(topo=""):
    return Seen({"host": "a", "lscpu": "0,0,0,0\n1,1,0,0", "topo": topo})


def test_words_come_before_slots_and_slots_before_gpus():
    seen = {"a": node(GPU), "b": node(GPU)}
    assert layout.dims(Wanted(gpus=4), {"a": 8, "b": 8}, seen) == Dims(4, 2, 1)
    assert layout.dims(Wanted(mode=Dims(4, 1, 2)), UNSAID, seen) == Dims(4, 1, 2)
    assert layout.dims(Wanted(), {"a": 8, "b": 8}, seen) == Dims(8, 2, 1)
    assert layout.dims(Wanted(), UNSAID, seen) == Dims(1, 2, 1)


@pytest.mark.parametrize(
    ("wanted", "slots", "seen", "words"),
    [
        (Wanted(gpus=2, mode=Dims(4, 2, 1)), UNSAID, {}, "differ"),
        (Wanted(mode=Dims(4, 3, 1)), UNSAID, {}, "2 are named"),
        (Wanted(), {"a": 2, "b": 4}, {}, "different numbers of slots"),
        (Wanted(), UNSAID, {"a": node(GPU), "b": node()}, "different numbers of GPUs"),
        (Wanted(), UNSAID, {"a": node(), "b": node()}, "say --gpus"),
        (Wanted(), UNSAID, {}, "say --gpus"),
    ],
)
def test_what_does_not_say_how_many_is_one_sentence(wanted, slots, seen, words):
    with pytest.raises(UsageError, match=words):
        layout.dims(wanted, slots, seen)


def test_nodes_that_do_not_answer_are_left_to_the_judge():
    assert layout.dims(Wanted(), UNSAID, {"a": Seen({}), "b": Seen({})}).ranks == 2


def test_shapes_are_said_or_asked_for():
    assert layout.shapes(Wanted(sockets=2, cores=8), UNSAID, {}) == dict.fromkeys("ab", Machine((8, 8)))
    assert layout.shapes(Wanted(), {"a": 0}, {"a": node()}) == {"a": Machine((2,))}
    with pytest.raises(UsageError, match="--sockets and --cores"):
        layout.shapes(Wanted(), UNSAID, {})
    with pytest.raises(NodeError, match="a cannot be asked"):
        layout.shapes(Wanted(), {"a": 0}, {"a": Seen({}, "timeout", "late")})
