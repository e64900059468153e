"""What the job asks of MPI, and nothing more; `mpi` does it with mpi4py, `Alone` for one rank without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ranks(Protocol):
    """A group of learners, numbered from 0."""

    @property
    def rank(self) -> int:
        """Return our number."""

    @property
    def size(self) -> int:
        """Return how many there are."""

    def broadcast(self, array: NDArray[np.float64]) -> None:
        """Give rank 0's values to everybody, in place."""

    def sum(self, array: NDArray[np.float64]) -> None:
        """Give everybody the sum of everybody's values, in place."""

    def everyone(self, value: Any) -> list[Any]:  # noqa: ANN401 - what can be pickled
        """Return everybody's value, in the order of ranks."""

    def first(self, count: int) -> Ranks | None:
        """Return the group of the first so many ranks; None for those that are not in it. All have to ask."""

    def wait(self) -> None:
        """Wait until everybody is here, without keeping a core busy."""


class Alone:
    """A group of one, which needs no MPI."""

    rank, size = 0, 1

    def broadcast(self, array: NDArray[np.float64]) -> None:
        """Nobody else is here."""

    def sum(self, array: NDArray[np.float64]) -> None:
        """One value is its own sum."""

    def everyone(self, value: Any) -> list[Any]:  # noqa: ANN401
        """Return the one value."""
        return [value]

    def first(self, count: int) -> Ranks | None:
        """Return the group itself."""
        return self if count else None

    def wait(self) -> None:
        """Wait for nobody."""
