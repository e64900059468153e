"""Launches between nodes of a practice cluster, with every Open MPI that is here.

The nodes get Debian's Open MPI 4; Open MPI 5 is copied to them from where DDLCHECK_MPIRUN names it.
"""

import os
import pathlib
import subprocess

import pytest

from ddlcheck.lab import lifecycle

pytestmark = pytest.mark.lab
ROOT = pathlib.Path(__file__).parents[2]
#: What the verb imports on a node, beside ours.
PACKAGES = ("ClusterShell", "paramiko", "yaml", "nacl", "bcrypt", "cryptography", "cffi", "invoke", "netifaces")
FILES = ("_cffi_backend*.so", "_netifaces*.so", "paramiko-*.dist-info", "cryptography-*.dist-info")
SAY = "echo $OMPI_COMM_WORLD_RANK $(hostname) $(grep Cpus_allowed_list /proc/self/status | cut -f2) $LD_LIBRARY_PATH"
REFUSED = "The rankfile that was used claimed that a host was either not\nallocated"


def at(lab, node, command, stdin=b""):
    done = subprocess.run(lab.ssh(node, command), input=stdin, capture_output=True, check=False, timeout=300)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def must(*words):
    code, out, err = at(*words)
    assert code == 0, err
    return out


def packed(folder, names):
    return subprocess.run(["tar", "cz", "-C", str(folder), *names], capture_output=True, check=True).stdout


def prepare(lab, five):
    """Give the nodes a mesh, names, Open MPI, and the first one the verb."""
    first = lab.nodes[0]
    library = pathlib.Path(pytest.__file__).parents[1]
    names = [name for name in PACKAGES if (library / name).is_dir()]
    names += [path.name for pattern in FILES for path in library.glob(pattern)]
    must(lab, first, "sudo mkdir -p /opt/ddl && sudo tar xz -C /opt/ddl", packed(ROOT, ["ddlcheck"]))
    must(lab, first, "sudo tar xz -C /opt/ddl", packed(library, names))
    key = must(lab, first, "ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519; cat .ssh/id_ed25519.pub").encode()
    hosts = "".join(f"{n.address} {n.name}\n{n.fabric_address} {n.fabric_name}\n" for n in lab.nodes).encode()
    for node in lab.nodes:
        must(lab, node, "sudo apt-get install -y -q openmpi-bin")
        must(lab, node, "cat >> .ssh/authorized_keys", key)
        must(lab, node, "sudo sed -i /127.0.1.1/d /etc/hosts; sudo tee -a /etc/hosts", hosts)
        if five:
            folder = five.parents[1]
            must(
                lab,
                node,
                f"sudo mkdir -p {folder.parent}; sudo tar xz -C {folder.parent}",
                packed(folder.parent, [folder.name]),
            )
    every = " ".join(name for node in lab.nodes for name in (node.name, node.fabric_name))
    must(lab, first, f"ssh-keyscan -t ed25519 {every} >> .ssh/known_hosts")


@pytest.fixture(scope="module")
def cluster():
    """Bring up two nodes of our own, since we change them; yield lab and launchers."""
    named = next((word for word in os.environ.get("DDLCHECK_MPIRUN", "").split(":") if word), "")
    five = pathlib.Path(named).absolute() if named else None
    name = f"l{os.getpid() % 10**7}"
    try:
        lab = lifecycle.up(name, 2, lambda sentence: None)
        prepare(lab, five)
        yield lab, {4: "mpirun", 5: str(five) if five else ""}
    finally:
        lifecycle.down(name)


@pytest.fixture(params=[4, 5])
def launch(request, cluster):
    """Return a function that runs `ddlcheck launch` on the first node."""
    lab, programs = cluster
    program = programs[request.param]
    if not program:
        pytest.fail("no Open MPI 5 here: `make` names one in DDLCHECK_MPIRUN")

    def run(words, before=""):
        line = f"{before} PYTHONPATH=/opt/ddl python3 -m ddlcheck launch --mpirun {program} {words}"
        return at(lab, lab.nodes[0], line)

    run.major, run.program, run.lab = request.param, program, lab
    return run


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
