"""The data-parallel loop: what it proves, and that each way to get it wrong is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddlcheck.errors import UsageError
from ddlcheck.train import digits, learner, network
from ddlcheck.train.ranks import Alone
from tests.train.ranks import ThreadRanks, together

DATA = digits.load()
MODEL = network.Network(digits.PIXELS, 8, digits.CLASSES)
PLAN = learner.Plan(batch=60, steps=12, rate=0.003, seed=1)


def proofs(size, kind=ThreadRanks, plan=PLAN):
    def work(ranks):
        outcome = learner.train(ranks, MODEL, DATA, plan)
        return learner.prove(ranks, MODEL, DATA, plan, outcome)

    return together(size, work, kind)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_all_ranks_come_to_the_same_and_to_what_one_rank_comes_to(size):
    found = proofs(size)
    assert all(proof.holds for proof in found)
    assert found.count(found[0]) == size


class NoBroadcast(ThreadRanks):
    def broadcast(self, array):
        pass


class NoSum(ThreadRanks):
    def sum(self, array):
        array *= self.size


class OneIsLeftOut(ThreadRanks):
    """An all-reduce that loses the last rank's share, the same for everybody."""

    def sum(self, array):
        array[:] = np.sum(self.everyone(array.copy())[:-1], axis=0) * self.size / (self.size - 1)


class NotTheAverage(ThreadRanks):
    def sum(self, array):
        super().sum(array)
        array *= self.size


class OthersBits(ThreadRanks):
    """A sum whose last bits differ from rank to rank."""

    def sum(self, array):
        super().sum(array)
        array *= 1 + self.rank * 2**-50


class NotANumber(ThreadRanks):
    def sum(self, array):
        super().sum(array)
        array[-1] = np.nan


@pytest.mark.parametrize(
    ("kind", "weights", "loss"),
    [
        (NoBroadcast, False, False), (NoSum, False, False), (OneIsLeftOut, True, False),
        (NotTheAverage, True, False), (OthersBits, False, True), (NotANumber, True, False),
    ],
)  # fmt: skip
def test_each_way_to_get_it_wrong_is_found(kind, weights, loss):
    proof = proofs(3, kind)[0]
    assert (proof.equal_weights, proof.same_loss, proof.holds) == (weights, loss, False)


def test_other_data_on_one_rank_is_found():
    def work(ranks):
        data = DATA._replace(digest="another") if ranks.rank == 1 else DATA
        return learner.prove(ranks, MODEL, data, PLAN, learner.train(ranks, MODEL, data, PLAN))

    assert [proof.equal_data for proof in together(2, work)] == [False, False]


def test_the_same_seed_comes_to_the_same_bits_and_another_does_not():
    first, again = proofs(2)[0], proofs(2)[0]
    assert first == again
    assert proofs(2, plan=PLAN._replace(seed=2))[0].weights != first.weights


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 99))
def test_shares_averaged_are_the_whole_batch(size, share, seed):
    random = np.random.default_rng(seed)
    theta, chosen = MODEL.draw(seed), random.integers(0, len(DATA.labels), size * share)
    loss, gradient = MODEL.loss_and_gradient(theta, DATA.images[chosen], DATA.labels[chosen])

    def work(ranks):
        mine = np.split(chosen, size)[ranks.rank]
        return learner.averaged(ranks, MODEL, theta, DATA.images[mine], DATA.labels[mine])

    for other, averaged in together(size, work):
        assert other == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose(averaged, gradient, rtol=1e-9, atol=1e-13)


@given(st.integers(1, 500), st.integers(1, 64))
def test_a_batch_that_does_not_divide_is_refused_with_numbers_that_do(batch, ranks):
    try:
        learner.check_batch(batch, ranks)
    except UsageError as error:
        assert batch % ranks
        near = [int(word) for word in str(error).split("--batch ")[1].split(" or ")]
        assert all(one % ranks == 0 and one > 0 and abs(one - batch) < ranks for one in near)
    else:
        assert batch % ranks == 0


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 400), st.integers(1, 120))
def test_batches_go_over_all_samples_before_any_comes_again(steps, batch, samples):
    every = learner.indices(learner.Plan(batch, steps, 0.1, 3), samples)
    assert every.shape == (steps, batch)
    flat = every.ravel()
    for begin in range(0, len(flat), samples):
        part = flat[begin : begin + samples]
        assert len(set(part)) == len(part)
    assert flat.min() >= 0
    assert flat.max() < samples


def test_alone_it_learns():
    plan = PLAN._replace(batch=240, steps=120)
    outcome = learner.train(Alone(), network.Network(64, 64, 10), DATA, plan)
    assert outcome.losses[-1] < outcome.losses[0] / 5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_is_never_the_same(bad):
    assert learner.difference(np.array([1.0, bad]), np.array([1.0, bad])) == float("inf")
