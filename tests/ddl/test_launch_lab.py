"""Launches between nodes of a practice cluster, with Open MPI 4 and 5."""

import pathlib
import subprocess
import sys

import pytest

from ddlcheck import explain
from tests.ddl.nodes import PBS, REFUSED, ROOT, SLURM, SRUN, at, must

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


BY_HAND = """\
cd /tmp; printf '%s slots=2\\n' $(hostname) $(ssh ib2 hostname) > named.hosts
{program} -n 4 --hostfile named.hosts {option}ib.rf hostname < /dev/null
"""


def renamed(lab, names):
    for node in lab.nodes:
        must(lab, node, f"sudo hostnamectl set-hostname {getattr(node, names)}")


def test_the_original_s_second_error_is_found_named_and_gone_after_role_hostname(cluster):
    """The hosts by their host names, which are minsky1 and minsky2; the rank file by the InfiniBand's names."""
    lab, programs = cluster
    first = lab.nodes[0]
    verb = "cd /tmp; PYTHONPATH=/opt/ddl python3 -m ddlcheck"
    lines = {
        4: BY_HAND.format(program=programs[4], option="--rankfile "),
        5: BY_HAND.format(program=programs[5], option="--map-by rankfile:file="),
    }
    must(lab, first, f"{verb} rankfile 2x2x1 ib1,ib2 --detect -o ib.rf")
    for line in lines.values():
        code, out, err = at(lab, first, line)
        assert code != 0
        assert REFUSED in out + err
        (cause,) = explain.read((out + err).splitlines())
        assert (cause.cause.name, cause.cause.remedy) == ("rankfile-host", "hostname")
        assert cause.hosts[0] in ("ib1", "ib2")
    code, out, _ = at(lab, first, f"{verb} rankfile --check ib.rf -H minsky1:2,minsky2:2")
    assert code == 1
    assert "host ib1, ib2" in out
    assert "role hostname" in at(lab, first, f"{verb} launch -H ib1,ib2 --gpus 1 -- true")[2]
    try:
        playbook = pathlib.Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [playbook, "-i", lab.inventory, "site.yml", "--tags", "hostname"],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        for line in lines.values():
            out = must(lab, first, line)
            assert sorted(line for line in out.splitlines() if line.startswith("ib")) == ["ib1", "ib1", "ib2", "ib2"]
    finally:
        renamed(lab, "name")


def test_a_launch_that_mpirun_refuses_is_explained_where_it_was_launched(launch):
    code, _, err = launch("-H minsky1,minsky2 --gpus 1 -- nonesuch")
    assert code != 0
    assert "cause: a node has no program of that name" in err


INVENTORY = """\
all:
  hosts:
    minsky1: {ansible_host: minsky1, hostname_fabric_name: ib1}
    minsky2: {ansible_host: minsky2, hostname_fabric_name: ib2}
  vars: {hostname_policy: ib, interfaces_fabric: ib0, memlock_limit: LIMIT}
"""


def test_an_inventory_says_names_interface_and_limit_on_a_node_itself(launch):
    lab = launch.lab
    for name, limit in (("low.yml", "64"), ("high.yml", "unlimited")):
        must(lab, lab.nodes[0], f"cat > /tmp/{name}", INVENTORY.replace("LIMIT", limit).encode())
    code, out, err = launch("--inventory /tmp/low.yml --gpus 1 -- hostname")
    assert code == 0, err
    assert sorted(out.split()) == ["minsky1", "minsky2"]
    assert "btl_tcp_if_include ib0" in err
    code, out, err = launch("--inventory /tmp/high.yml --gpus 1 -- hostname")
    # A session has 64 KiB of locked memory on a node as it comes from the rack.
    assert (code, out) == (1, "")
    assert "role memlock" in err


def test_inside_an_allocation_nothing_has_to_be_said(launch):
    """Slurm's variables with ssh in srun's place, and a node file of PBS."""
    lab = launch.lab
    must(lab, lab.nodes[0], "mkdir -p /tmp/bin; cat > /tmp/bin/srun; chmod +x /tmp/bin/srun", SRUN.encode())
    must(lab, lab.nodes[0], "printf 'minsky1\\nminsky1\\nminsky2\\nminsky2\\n' > /tmp/nodefile")
    for job in (SLURM.replace("/tmp/dialects", "/tmp"), PBS.replace("/tmp/dialects", "/tmp")):
        code, out, err = launch(f"-- sh -c '{SAY}'", job)
        assert code == 0, err
        found = sorted(line.split()[:2] for line in out.splitlines())
        assert found == [["0", "minsky1"], ["1", "minsky2"], ["2", "minsky1"], ["3", "minsky2"]]
        code, _, err = launch("-H ib1,ib2 -- hostname", job)
        assert code == 2
        assert "host ib1 is not in the" in err


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
