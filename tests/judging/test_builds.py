"""What a node says when the rank program cannot be built there, and what mends it."""

import pytest

from ddlcheck.judging.builds import unbuilt


@pytest.mark.parametrize(
    ("why", "word", "remedy"),
    [
        ("no compiler: mpicc is not in PATH (/usr/bin:/bin)", "mpicc is missing", "openmpi"),
        ("no compiler: mpicc may not be executed", "chmod a+x", "inspect"),
        ("cannot write to /home/ddl/.cache/ddlcheck", "no place", "inspect"),
        ("mpicc failed: /tmp/x.s: No space left on device", "no place", "inspect"),
        ("cannot execute /home/ddl/.cache/ddlcheck/rank-1: sh: 1: rank-1: Permission denied", "noexec", "inspect"),
        ("cannot execute rank-1: libmpi.so.40: cannot open shared object file", "library", "openmpi"),
        ("mpicc failed: mpi.h: No such file or directory", "does not compile", "openmpi"),
    ],
)
def test_why_a_build_failed_has_a_cause_and_a_remedy(why, word, remedy):
    cause, mends = unbuilt(why)
    assert word in cause
    assert mends == remedy
