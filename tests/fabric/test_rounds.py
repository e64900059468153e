from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck.fabric import rounds


@given(st.integers(2, 60))
def test_every_pair_meets_exactly_once(n):
    met = [pair for r in range(rounds.count(n)) for pair in rounds.pairs(r, n)]
    assert sorted(met) == sorted(combinations(range(n), 2))


@given(st.integers(2, 60))
def test_nobody_is_in_two_pairs_of_a_round(n):
    for r in range(rounds.count(n)):
        busy = [node for pair in rounds.pairs(r, n) for node in pair]
        assert len(busy) == len(set(busy)) >= n - 1


@given(
    st.integers(2, 80).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), min_size=2, max_size=2, unique=True))
    )
)
def test_the_meeting_is_found_without_looking(case):
    n, (a, b) = case
    assert rounds.partner(a, rounds.meeting(a, b, n), n) == b


@pytest.mark.parametrize(("n", "of"), [(0, 0), (1, 0), (2, 1), (3, 3), (4, 3), (5, 5), (1024, 1023)])
def test_rounds_grow_with_the_nodes_and_not_with_the_pairs(n, of):
    assert rounds.count(n) == of


def test_a_sample_is_the_same_for_the_same_seed_and_never_more_than_all():
    assert rounds.sample(64, 5, 1) == rounds.sample(64, 5, 1) != rounds.sample(64, 5, 2)
    assert rounds.sample(4, 99, 0) == [0, 1, 2]


@given(st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda p: p[0] != p[1])))
def test_any_pairs_are_packed_without_a_node_twice_in_a_round(wanted):
    packed = list(rounds.pack(wanted))
    for group in packed:
        busy = [node for pair in group for node in pair]
        assert len(busy) == len(set(busy))
    assert {p for group in packed for p in group} == {(min(p), max(p)) for p in wanted}
