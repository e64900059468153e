"""Samples a second for 1 to N ranks: what the network between them costs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from ddlcheck.train.learner import averaged
from ddlcheck.train.network import Adam

if TYPE_CHECKING:
    from ddlcheck.train.digits import Digits
    from ddlcheck.train.network import Model
    from ddlcheck.train.ranks import Ranks

#: Steps before anything is timed, and the most that are; the best of so many times counts, as others use the machine.
_WARM, _MOST, _TIMES = 3, 5000, 3


class Place(NamedTuple):
    """Where a rank runs: its host, and the CPUs it may use there."""

    host: str
    cpus: tuple[int, ...]


class Speed(NamedTuple):
    """``ranks`` learners on ``hosts`` hosts; ``efficiency`` is against so many times one learner alone."""

    ranks: int
    hosts: int
    samples: float
    efficiency: float


class Work(NamedTuple):
    """What each learner does while it is measured: its share of samples, for about so many seconds."""

    model: Model
    digits: Digits
    share: int
    rate: float
    seconds: float


def here() -> Place:
    """Return where this rank runs."""
    return Place(os.uname().nodename, tuple(sorted(os.sched_getaffinity(0))))


def crowded(places: list[Place]) -> bool:
    """Whether some host has more ranks than cores that they may use: they wait for each other, not for the network."""
    for host in {place.host for place in places}:
        there = [set(place.cpus) for place in places if place.host == host]
        if len(there) > len(set().union(*there)):
            return True
    return False


def counts(ranks: int) -> list[int]:
    """Return how many ranks are measured: 1 to 8, then powers of two, and all of them."""
    few = range(1, min(ranks, 8) + 1)
    return sorted({*few, *(2**power for power in range(4, ranks.bit_length()) if 2**power <= ranks), ranks})


def measure(ranks: Ranks, work: Work, places: list[Place]) -> list[Speed]:
    """Measure each number of ranks; a learner's share stays the same, so that the work of each does too.

    ``places`` are those of all ranks. Every rank has to call it; all get the table.
    """
    out: list[Speed] = []
    for count in counts(ranks.size):
        group = ranks.first(count)
        samples = _samples(group, work) if group else 0.0
        ranks.wait()
        samples = ranks.everyone(samples)[0]
        alone = out[0].samples if out else samples
        hosts = len({place.host for place in places[:count]})
        out.append(Speed(count, hosts, samples, samples / (count * alone)))
    return out


def _samples(group: Ranks, work: Work) -> float:
    model, digits, share = work.model, work.digits, work.share
    theta, adam = model.draw(0), Adam(model.parameters, work.rate)
    # The share may be larger than the data set: it starts again.
    mine = [(group.rank * share + place) % len(digits.labels) for place in range(share)]
    images, labels = digits.images[mine], digits.labels[mine]

    def run(steps: int) -> float:
        """Return the seconds of the slowest rank."""
        group.everyone(0)
        began = time.perf_counter()
        for _ in range(steps):
            adam.step(theta, averaged(group, model, theta, images, labels)[1])
        return float(max(group.everyone(time.perf_counter() - began)))

    each = run(_WARM) / _WARM
    # Everybody has the same slowest rank, and so comes to the same number.
    steps = max(1, min(_MOST, int(work.seconds / _TIMES / max(each, 1e-9))))
    return share * group.size * steps / min(run(steps) for _ in range(_TIMES))
