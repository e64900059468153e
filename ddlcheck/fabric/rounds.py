"""Who talks to whom, when: every pair once, every node in at most one pair at a time."""

from __future__ import annotations

import random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Pair = tuple[int, int]


def count(n: int) -> int:
    """Return how many rounds every pair of ``n`` nodes takes: n - 1, or n where n is odd."""
    return max(n + n % 2 - 1, 0) if n > 1 else 0


def partner(me: int, round_: int, n: int) -> int | None:
    """Return whom a node meets in a round (the circle method in closed form), or None: it rests.

    With m nodes (n, or n + 1 with a dummy for odd n), i and j < m - 1 meet in round (i + j) mod (m - 1); who
    would meet itself meets m - 1. The rank program computes the same, so that no schedule is sent.
    """
    last = n + n % 2 - 1
    if me == last:
        other = round_ * ((last + 1) // 2) % last
    else:
        other = (round_ - me) % last
        if other == me:
            other = last
    return other if other < n else None


def pairs(round_: int, n: int) -> list[Pair]:
    """Return the pairs of one round, lower node first."""
    met = ((i, partner(i, round_, n)) for i in range(n))
    return [(i, j) for i, j in met if j is not None and i < j]


def meeting(a: int, b: int, n: int) -> int:
    """Return the round in which two nodes meet."""
    last = n + n % 2 - 1
    low, high = sorted((a, b))
    return 2 * low % last if high == last else (low + high) % last


def sample(n: int, k: int, seed: int) -> list[int]:
    """Return ``k`` different rounds (all of them if there are no more), in order; the seed decides which."""
    every = range(count(n))
    return list(every) if k >= len(every) else sorted(random.Random(seed).sample(every, k))  # noqa: S311


def pack(wanted: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Split any set of pairs into rounds in which every node has at most one partner (greedily)."""
    left = list(dict.fromkeys((min(p), max(p)) for p in wanted))
    while left:
        busy: set[int] = set()
        now, later = [], []
        for pair in left:
            if busy.isdisjoint(pair):
                now.append(pair)
                busy.update(pair)
            else:
                later.append(pair)
        yield now
        left = later


def seconds(
    n: int, *, per_round: float, start: float = 2.0, per_node: float = 0.005, rounds: int | None = None
) -> float:
    """Return the expected wall time of a run: start-up, which grows with the nodes, and its rounds.

    ``per_round`` is what one pair takes (latency, two directions, both ways, and the hub's three messages);
    2 s and 5 ms a node for mpirun's start are assumptions to be replaced by a measured start.
    """
    return start + per_node * n + per_round * (count(n) if rounds is None else rounds)
