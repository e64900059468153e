"""Launches between nodes of a practice cluster, with Open MPI 4 and 5."""

import pathlib

import pytest

from tests.ddl.nodes import REFUSED, at, must

pytestmark = pytest.mark.lab
SAY = "echo $OMPI_COMM_WORLD_RANK $(hostname) $(grep Cpus_allowed_list /proc/self/status | cut -f2) $LD_LIBRARY_PATH"


@pytest.mark.parametrize("names", ["minsky1,minsky2", "ib1,ib2"])
def test_ranks_land_in_ddl_s_order_on_their_cores_under_either_name(launch, names):
    code, out, err = launch(f"-H {names} --mode 2x1x2 -- sh -c '{SAY}'")
    assert code == 0, err
    found = sorted(line.split()[:3] for line in out.splitlines())
    assert found == [["0", "minsky1", "0"], ["1", "minsky2", "0"], ["2", "minsky1", "1"], ["3", "minsky2", "1"]]


def test_a_library_path_of_the_user_does_not_hide_open_mpi_s_own(launch):
    words = f"-H minsky1,minsky2 --gpus 1 --env LD_LIBRARY_PATH --interface ib0 -- sh -c '{SAY}'"
    code, out, err = launch(words, "LD_LIBRARY_PATH=/nowhere")
    assert code == 0, err
    assert all("/nowhere" in line for line in out.splitlines())
    if launch.major >= 5:
        prefix = str(pathlib.Path(launch.program).parents[1])
        assert all(f"{prefix}/lib" in line for line in out.splitlines())


def test_the_status_of_a_rank_on_the_other_node_is_passed_on(launch):
    assert launch("-H minsky1,minsky2 --gpus 1 -- sh -c 'test $(hostname) = minsky1 || exit 9; sleep 20'")[0] == 9


def test_the_original_s_second_error_and_who_finds_it(launch):
    """Rank file by the InfiniBand names, allocation by the host names."""
    lab = launch.lab
    node = lab.nodes[0]
    here = "cd /tmp; PYTHONPATH=/opt/ddl python3 -m ddlcheck rankfile"
    must(lab, node, f"{here} 2x2x1 ib1,ib2 --detect -o ib.rf; printf 'minsky1 slots=2\\nminsky2 slots=2\\n' > hosts")
    option = "--map-by rankfile:file=ib.rf" if launch.major >= 5 else "--rankfile ib.rf"
    code, out, err = at(lab, node, f"cd /tmp; {launch.program} -n 4 --hostfile hosts {option} hostname")
    assert code != 0
    assert REFUSED in out + err
    code, out, _ = at(lab, node, f"{here} --check ib.rf -H minsky1:2,minsky2:2")
    assert code == 1
    assert "host ib1, ib2" in out


def test_a_node_without_the_daemon_is_found_before_the_launch(launch):
    lab = launch.lab
    path = "/usr/bin/orted" if launch.major < 5 else str(pathlib.Path(launch.program).with_name("prted"))
    must(lab, lab.nodes[1], f"sudo mv {path} {path}.away")
    try:
        code, out, err = launch("-H minsky1,minsky2 --gpus 1 -- echo started")
    finally:
        must(lab, lab.nodes[1], f"sudo mv {path}.away {path}")
    assert (code, out) == (1, "")
    assert "role openmpi" in err


def test_a_host_key_that_is_not_known_is_found_before_the_launch(launch):
    lab = launch.lab
    must(lab, lab.nodes[0], "mv .ssh/known_hosts .ssh/away")
    try:
        code, out, err = launch("-H minsky1,minsky2 --gpus 1 -- echo started")
    finally:
        must(lab, lab.nodes[0], "mv .ssh/away .ssh/known_hosts")
    assert (code, out) == (1, "")
    assert "host key is not known here" in err
