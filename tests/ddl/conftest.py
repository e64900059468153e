"""Three nodes that can launch with every Open MPI that is here.

They get Debian's Open MPI 4; Open MPI 5 is copied to them from where DDLCHECK_MPIRUN names it. Only the first one
has a key: what needs a mesh must not work by chance.
"""

import os
import pathlib

import pytest

from ddlcheck.lab import Lab, lifecycle
from tests.ddl.nodes import at, prepare


@pytest.fixture(scope="session")
def cluster():
    """Yield lab and launchers by major version; DDLCHECK_LAUNCH_LAB names a lab that is prepared already."""
    named = next((word for word in os.environ.get("DDLCHECK_MPIRUN", "").split(":") if word), "")
    if not named or not pathlib.Path(named).exists():
        pytest.fail("no Open MPI 5 here: `make` names one in DDLCHECK_MPIRUN")
    five = pathlib.Path(named).absolute()
    programs = {4: "mpirun", 5: str(five)}
    if standing := os.environ.get("DDLCHECK_LAUNCH_LAB"):
        yield Lab.load(standing), programs
        return
    name = f"l{os.getpid() % 10**7}"
    try:
        lab = lifecycle.up(name, 3, lambda sentence: None)
        prepare(lab, five)
        yield lab, programs
    finally:
        lifecycle.down(name)


@pytest.fixture(params=[4, 5])
def launch(request, cluster):
    """Return a function that runs `ddlcheck launch` on the first node."""
    lab, programs = cluster
    program = programs[request.param]

    def run(words, before=""):
        line = f"{before} PYTHONPATH=/opt/ddl python3 -m ddlcheck launch --mpirun {program} {words}"
        return at(lab, lab.nodes[0], line)

    run.major, run.program, run.lab = request.param, program, lab
    return run
