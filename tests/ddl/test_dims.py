"""Dimensions and rank numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck.ddl.dims import Dims, check_hosts, parse_dims
from ddlcheck.errors import UsageError

sizes = st.builds(Dims, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


def test_the_rack_runs_fastest_then_the_host_then_the_gpu():
    dims = Dims(4, 2, 3)
    assert [dims.rank(0, host) for host in range(6)] == [0, 3, 1, 4, 2, 5]
    assert [dims.rank(gpu, 0) for gpu in range(4)] == [0, 6, 12, 18]


@given(sizes)
def test_every_rank_is_given_once(dims):
    ranks = [dims.rank(gpu, host) for host in range(dims.hosts) for gpu in range(dims.gpus)]
    assert sorted(ranks) == list(range(dims.ranks))


@given(sizes)
def test_what_is_written_is_read(dims):
    assert parse_dims(str(dims)) == dims


@pytest.mark.parametrize(
    "text", ["4x2", "4", "", "4x2x1x1", "4x2xa", "-4x2x1", "4*2*1", "0x1x1", "4x0x1", "9999x9999x9", "٤x2x1"]
)
def test_what_is_not_three_dimensions_is_one_sentence(text):
    with pytest.raises(UsageError) as error:
        parse_dims(text)
    assert "\n" not in str(error.value)


def test_a_capital_x_is_an_x():
    assert parse_dims("4X2x1") == Dims(4, 2, 1)


@pytest.mark.parametrize("hosts", [[], ["a"], ["a", "b", "c"], ["a", "a"]])
def test_hosts_that_do_not_fit_are_refused(hosts):
    with pytest.raises(UsageError):
        check_hosts(Dims(4, 2, 1), hosts)
