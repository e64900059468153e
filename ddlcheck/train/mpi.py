"""Ranks by mpi4py: which MPI library it finds decides whether the ranks find each other."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ddlcheck.errors import DdlcheckError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from mpi4py.MPI import Comm
    from numpy.typing import NDArray

    from ddlcheck.train.ranks import Ranks

#: Seconds between two looks of a rank that waits.
_NAP = 0.005
#: What launchers tell a rank of the job and of its place on the host: Open MPI, Hydra, Slurm.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_LOCAL = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")


def said(names: tuple[str, ...], default: int) -> int:
    """Return the first number that one of these variables holds."""
    values = (os.environ.get(name, "") for name in names)
    return next((int(value) for value in values if value.isdigit()), default)


def local_rank() -> int:
    """Return our place on this host."""
    return said(_LOCAL, 0)


class MpiRanks:
    """A communicator of mpi4py as `ranks.Ranks`."""

    def __init__(self, comm: Comm) -> None:
        self._comm = comm

    @property
    def rank(self) -> int:
        """Return our number."""
        return self._comm.Get_rank()

    @property
    def size(self) -> int:
        """Return how many there are."""
        return self._comm.Get_size()

    def broadcast(self, array: NDArray[np.float64]) -> None:
        """Give rank 0's values to everybody, in place."""
        self._comm.Bcast(array, root=0)

    def sum(self, array: NDArray[np.float64]) -> None:
        """Give everybody the sum of everybody's values, in place."""
        from mpi4py import MPI  # noqa: PLC0415 - loads the library

        self._comm.Allreduce(MPI.IN_PLACE, array, op=MPI.SUM)

    def everyone(self, value: Any) -> list[Any]:  # noqa: ANN401
        """Return everybody's value, in the order of ranks."""
        return self._comm.allgather(value)

    def first(self, count: int) -> Ranks | None:
        """Return the group of the first so many ranks; None for those that are not in it."""
        from mpi4py import MPI  # noqa: PLC0415

        group = self._comm.Split(0 if self.rank < count else MPI.UNDEFINED, self.rank)
        return None if group == MPI.COMM_NULL else MpiRanks(group)

    def wait(self) -> None:
        """Wait until everybody is here; MPI's own barrier would keep the core busy that others measure on."""
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(_NAP)

    def abort(self, status: int) -> None:
        """End all ranks: the others would wait for this one for ever."""
        self._comm.Abort(status)


def world() -> tuple[MpiRanks, str]:
    """Start MPI; return all ranks and what the library calls itself.

    Raises `UsageError` where mpi4py or the library is missing, `DdlcheckError` where the library is not the
    launcher's, so that every rank would believe to be alone.
    """
    try:
        from mpi4py import MPI  # noqa: PLC0415 - starts MPI, and is optional
    except ModuleNotFoundError as error:
        raise UsageError(
            f"there is no {error.name} on {os.uname().nodename}: pip install 'ddlcheck[train]', or numpy and mpi4py"
        ) from error
    except (ImportError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise UsageError(f"mpi4py finds no MPI library on {os.uname().nodename} ({why})") from error
    ranks = MpiRanks(MPI.COMM_WORLD)
    library = MPI.Get_library_version().replace("\0", "").split(",")[0].strip()
    started = said(_SIZES, ranks.size)
    if ranks.size != started:
        raise DdlcheckError(
            f"{started} ranks were started and each sees {ranks.size}: mpi4py has loaded {library}, "
            "which is not the launcher's MPI (MPI4PY_LIBMPI names a library)"
        )
    return ranks, library
