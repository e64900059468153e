"""The data-parallel loop of PowerAI DDL's MNIST sample, and the two things it has to prove.

Every learner draws weights and takes rank 0's (broadcast); at each step all know the whole batch, each takes
its share, and the gradients are averaged over all (all-reduce) before the one and same optimiser moves the weights.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ddlcheck.errors import UsageError
from ddlcheck.train.network import Adam
from ddlcheck.train.ranks import Alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ddlcheck.train.digits import Digits
    from ddlcheck.train.network import Model
    from ddlcheck.train.ranks import Ranks

#: How far the losses of N ranks and of one may be apart, relatively. The order of a sum of doubles moves its last
#: bits (1e-16), and a few hundred steps of Adam make 1e-13 of it; a share lost or counted twice makes 1e-3.
ROUNDING = 1e-9


class Plan(NamedTuple):
    """What is trained: ``batch`` is the whole batch, of which each rank gets its share."""

    batch: int
    steps: int
    rate: float
    seed: int


class Outcome(NamedTuple):
    """The loss of the whole batch before each step, and the weights in the end."""

    losses: NDArray[np.float64]
    theta: NDArray[np.float64]


class Proof(NamedTuple):
    """What was proven: ``weights`` are (rank, digest) of each rank, ``apart`` the largest relative difference."""

    weights: tuple[str, ...]
    data: tuple[str, ...]
    apart: float

    @property
    def equal_weights(self) -> bool:
        """Whether all ranks have the same weights, bit by bit."""
        return len(set(self.weights)) == 1

    @property
    def equal_data(self) -> bool:
        """Whether all ranks have read the same data."""
        return len(set(self.data)) == 1

    @property
    def same_loss(self) -> bool:
        """Whether the losses are those of one rank with the whole batch. Not a number is not the same."""
        return bool(self.apart <= ROUNDING)

    @property
    def holds(self) -> bool:
        """Whether all of it holds."""
        return self.equal_weights and self.equal_data and self.same_loss


def check_batch(batch: int, ranks: int) -> None:
    """Raise `UsageError` unless every rank gets the same share: an average of unequal shares is another loss."""
    if batch % ranks:
        below, above = batch - batch % ranks, batch - batch % ranks + ranks
        near = f"{below} or {above}" if below else f"{above}"
        raise UsageError(f"a batch of {batch} does not divide among {ranks} ranks: say --batch {near}")


def indices(plan: Plan, samples: int) -> NDArray[np.int64]:
    """Return which samples make up each batch, ``(steps, batch)``: all of them in random order, again and again."""
    random = np.random.default_rng(plan.seed)
    rounds = -(-plan.steps * plan.batch // samples)
    order = np.concatenate([random.permutation(samples) for _ in range(rounds)])
    return order[: plan.steps * plan.batch].reshape(plan.steps, plan.batch)


def train(ranks: Ranks, model: Model, digits: Digits, plan: Plan) -> Outcome:
    """Train; every rank of the group has to call it."""
    check_batch(plan.batch, ranks.size)
    # Each learner draws weights of its own: were the broadcast not to work, they would stay different.
    theta = model.draw(plan.seed + ranks.rank)
    ranks.broadcast(theta)
    adam = Adam(theta.size, plan.rate)
    losses = np.zeros(plan.steps)
    for step, whole in enumerate(indices(plan, len(digits.labels))):
        mine = np.split(whole, ranks.size)[ranks.rank]
        loss, gradient = averaged(ranks, model, theta, digits.images[mine], digits.labels[mine])
        losses[step] = loss
        adam.step(theta, gradient)
    return Outcome(losses, theta)


def averaged(
    ranks: Ranks, model: Model, theta: NDArray[np.float64], images: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Return loss and gradient of one share, averaged over all ranks by one all-reduce."""
    loss, gradient = model.loss_and_gradient(theta, images, labels)
    both = np.append(gradient, loss)
    ranks.sum(both)
    both /= ranks.size
    return float(both[-1]), both[:-1]


def prove(ranks: Ranks, model: Model, digits: Digits, plan: Plan, outcome: Outcome) -> Proof:
    """Compare weights and data of all ranks, and on rank 0 the losses with those of one rank and the whole batch."""
    weights = ranks.everyone(hashlib.sha256(outcome.theta.tobytes()).hexdigest())
    data = ranks.everyone(digits.digest)
    apart = difference(outcome.losses, train(Alone(), model, digits, plan).losses) if ranks.rank == 0 else 0.0
    ranks.wait()
    return Proof(tuple(weights), tuple(data), ranks.everyone(apart)[0])


def difference(losses: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return the largest relative difference; infinite where a loss is not a number."""
    if not (np.isfinite(losses).all() and np.isfinite(expected).all()):
        return float("inf")
    return float(np.max(np.abs(losses - expected) / np.maximum(np.abs(expected), 1e-12)))
