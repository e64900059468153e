"""Ranks that are threads: a group without MPI, and ways to break it."""

import threading

import numpy as np


class ThreadRanks:
    """One rank of a group; collectives meet at a barrier."""

    def __init__(self, shared, rank):
        self.shared, self.rank, self.size = shared, rank, shared.size

    def everyone(self, value):
        self.shared.values[self.rank] = value
        self.shared.barrier.wait(60)
        out = list(self.shared.values)
        self.shared.barrier.wait(60)
        return out

    def broadcast(self, array):
        array[:] = self.everyone(array.copy())[0]

    def sum(self, array):
        array[:] = np.sum(self.everyone(array.copy()), axis=0)

    def first(self, count):
        group = self.everyone(Shared(count))[0]
        return type(self)(group, self.rank) if self.rank < count else None

    def wait(self):
        self.shared.barrier.wait(60)


class Shared:
    def __init__(self, size):
        self.size, self.values, self.barrier = size, [None] * size, threading.Barrier(size)


def together(size, work, kind=ThreadRanks):
    """Run ``work(ranks)`` on so many ranks; return what each returned, or raise what one raised."""
    shared, out, errors = Shared(size), [None] * size, []

    def run(rank):
        try:
            out[rank] = work(kind(shared, rank))
        except Exception as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
            shared.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return out
