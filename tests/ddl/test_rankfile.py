"""Rank files: PowerAI's own, and the rule they follow for any dimensions."""

import pathlib
import re

import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from ddlcheck.ddl import rankcheck
from ddlcheck.ddl.dims import Dims, parse_dims
from ddlcheck.ddl.rankfile import Machine, Slot, header, place, render, slots, spread
from ddlcheck.errors import UsageError

DATA = pathlib.Path(__file__).parent / "data"
MINSKY_10, MINSKY_8 = Machine((10, 10)), Machine((8, 8))


def words(text):
    """White space and the line with the date do not count."""
    return [
        line.split() for line in text.splitlines() if line.strip() and not re.search(r"by (rank_gen|ddlcheck)", line)
    ]


@pytest.mark.parametrize(
    ("name", "dims", "hosts", "machine", "with_header"),
    [
        ("4x1x1.rf", "4x1x1", ["minksy"], MINSKY_8, False),
        ("4x2x1-ib.rf", "4x2x1", ["ib1", "ib2"], MINSKY_8, False),
        ("4x2x1.rf", "4x2x1", ["sys-89074", "sys-89075"], MINSKY_10, True),
        ("4x2x3.rf", "4x2x3", [f"sys-{n}" for n in range(89074, 89080)], MINSKY_10, True),
    ],
)
def test_powerai_s_own_rank_files_come_out(name, dims, hosts, machine, with_header):
    sizes = parse_dims(dims)
    head = header(sizes, hosts, machine, "now") if with_header else []
    assert words(render(sizes, place(sizes, hosts, machine), head)) == words((DATA / name).read_text())


@given(
    st.integers(1, 8), st.integers(1, 5), st.integers(1, 5),
    st.lists(st.integers(1, 64), min_size=1, max_size=4), st.none() | st.randoms(use_true_random=False),
)  # fmt: skip
def test_for_any_dimensions_ranks_are_a_bijection_and_slices_stay_in_a_socket(gpus, near, racks, cores, where):
    # With or without a word of nvidia-smi's on which socket each GPU hangs.
    sockets = tuple(where.randrange(len(cores)) for _ in range(gpus)) if where else ()
    if where:
        cores = [count * max(1, sockets.count(socket)) for socket, count in enumerate(cores)]
    dims, machine = Dims(gpus, near, racks), Machine(tuple(cores), sockets)
    hosts = [f"n{number}" for number in range(dims.hosts)]
    try:
        placed = place(dims, hosts, machine)
    except UsageError:
        reject()
    everything = [one for block in placed for one in block]
    assert sorted(one.rank for one in everything) == list(range(dims.ranks))
    assert {one.host for one in everything} == set(hosts)
    used = [
        (one.host, one.slot.socket, core) for one in everything for core in range(one.slot.first, one.slot.last + 1)
    ]
    assert len(used) == len(set(used)), "a core is given twice"
    assert all(0 <= core < cores[socket] for _, socket, core in used)
    if sockets:
        assert all([one.slot.socket for one in block] == list(sockets) for block in placed)
    assert all(one.slot.first <= one.slot.last for one in everything)


@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3),
)  # fmt: skip
def test_what_is_written_is_judged_right(gpus, near, racks, sockets, width):
    assume(gpus % sockets == 0)
    dims, machine = Dims(gpus, near, racks), Machine((gpus // sockets * width,) * sockets)
    hosts = [f"n{number}" for number in range(dims.hosts)]
    text = render(dims, place(dims, hosts, machine), header(dims, hosts, machine, "now"))
    file = rankcheck.parse(text)
    assert rankcheck.claimed(file) == machine
    verdicts = rankcheck.judge(file, dict.fromkeys(hosts, gpus), dict.fromkeys(hosts, machine))
    assert {one.status.name for one in verdicts} == {"PASS"}


def test_gpus_are_spread_over_the_sockets_in_order():
    assert spread(4, 2) == (0, 0, 1, 1)
    assert spread(1, 2) == (0,)
    with pytest.raises(UsageError, match="3 GPUs do not divide among 2 sockets"):
        spread(3, 2)


def test_a_rank_is_bound_to_the_socket_of_its_gpu():
    assert slots(Machine((4, 4), (1, 0, 1, 0)), 4) == (Slot(1, 0, 1), Slot(0, 0, 1), Slot(1, 2, 3), Slot(0, 2, 3))


def test_gpus_that_are_not_used_take_no_cores():
    assert slots(Machine((4, 4), (0, 0, 1, 1)), 1) == (Slot(0, 0, 3),)


def test_cores_that_do_not_divide_are_refused_with_a_number_that_does():
    with pytest.raises(UsageError, match="--cores 8 leaves 1 idle"):
        slots(Machine((9, 9)), 4)


def test_more_ranks_than_cores_are_refused():
    with pytest.raises(UsageError, match="n1: socket 0 has 1 core for 2 ranks"):
        slots(Machine((1, 1)), 4, "n1")


def test_fewer_gpus_than_asked_for_are_refused():
    with pytest.raises(UsageError, match="it has 2"):
        slots(Machine((8, 8), (0, 1)), 4)


def test_one_core_is_written_without_a_range():
    assert str(Slot(1, 3, 3)) == "1:3"


def test_hosts_with_different_sockets_claim_nothing():
    hosts, machines = ["a", "b"], {"a": Machine((8, 8)), "b": Machine((4, 4))}
    text = "\n".join(header(Dims(2, 2, 1), hosts, machines, "now"))
    assert "#sockets" not in text
