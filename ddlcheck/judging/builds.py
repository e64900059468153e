"""Why the rank program could not be built on a node, from what its shell said (`fabric/build.sh`)."""

from __future__ import annotations

import re

#: (pattern, cause, remedy): first match wins.
_BUILDS: tuple[tuple[str, str, str], ...] = (
    (r"may not be executed",
     "mpicc is there and may not be executed (chmod a+x, or a file system mounted noexec)", "inspect"),
    (r"No space left|Disk quota|^cannot write", "the rank program has no place in the job user's cache", "inspect"),
    (r"cannot open shared object file", "what mpicc makes lacks a library on the node", "openmpi"),
    (r"^cannot execute",
     "what mpicc makes cannot be executed where the job user's cache is (a file system mounted noexec)", "inspect"),
    (r"^sha256sum", "coreutils are not complete on the node", "inspect"),
    (r"^no compiler", "mpicc is missing on the node", "openmpi"),
)  # fmt: skip


def unbuilt(why: str) -> tuple[str, str]:
    """Return (cause, remedy) of what a node said when it could not build the rank program."""
    found = ((cause, remedy) for pattern, cause, remedy in _BUILDS if re.search(pattern, why))
    return next(found, ("mpicc does not compile what every MPI program is made of", "openmpi"))
