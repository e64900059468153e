"""From a node's words to sockets, cores and the sockets of its GPUs.

The matrices are shortened to what is read, in the shape nvidia-smi 470 and 580 print them.
"""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck.ddl import detect
from ddlcheck.ddl.rankfile import Machine
from ddlcheck.errors import NotSeen

HEAD = "# The following is the parsable format, which can be fed to other\n# CPU,Core,Socket,Node\n"
#: lscpu -p=CPU,CORE,SOCKET,NODE of the two-core machine this was first run on.
SMALL = HEAD + "0,0,0,0\n1,1,0,0\n"


def lscpu(sockets, cores, threads=1, nodes=1):
    """Number CPUs as Linux does on x86: all first threads, then all second ones."""
    lines = []
    for cpu in range(sockets * cores * threads):
        core = cpu % (sockets * cores)
        lines.append(f"{cpu},{core},{core // cores},{core // cores * nodes + core % cores * nodes // cores}")
    return HEAD + "\n".join(lines) + "\n"


def topo(*affinities, ansi=False, extra=("mlx5_0",)):
    names = [f"GPU{number}" for number in range(len(affinities))]
    head = "\t".join(["", *names, *extra, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"])
    rows = [f"\x1b[4m{head}\x1b[0m" if ansi else head]
    for name, (cpus, node) in zip(names, affinities, strict=True):
        links = [" X " if other == name else "SYS" for other in names]
        rows.append("\t".join([name, *links, *["PIX"] * len(extra), cpus, node, "", "N/A"]))
    rows += ["\t".join([one, *["PIX"] * len(names), " X ", "", "", "", ""]) for one in extra]
    return "\n".join([*rows, "", "Legend:", "", "  X    = Self"]) + "\n"


def test_a_machine_without_gpus():
    assert detect.machine(SMALL) == Machine((2,), ())


def test_threads_of_a_core_are_one_core():
    assert detect.machine(lscpu(2, 14, threads=2)).cores == (14, 14)


@pytest.mark.parametrize("ansi", [False, True])
def test_gpus_hang_where_nvidia_smi_says(ansi):
    text = topo(("14-27,42-55", "1"), ("0-13,28-41", "0"), ansi=ansi)
    assert detect.machine(lscpu(2, 14, threads=2), text).gpu_sockets == (1, 0)


def test_several_numa_nodes_in_a_socket_are_that_socket():
    text = topo(("48-63", "3"), ("16-31", "1"), ("112-127", "7"))
    assert detect.machine(lscpu(2, 64, nodes=4), text).gpu_sockets == (0, 0, 1)


def test_the_numa_node_decides_where_the_cpus_are_not_told():
    assert detect.machine(lscpu(2, 4), topo(("N/A", "1"), ("", "0"))).gpu_sockets == (1, 0)


def test_socket_numbers_with_gaps_are_counted_from_0():
    power = HEAD + "0,0,0,0\n8,1,0,0\n80,2,8,8\n88,3,8,8\n"
    assert detect.machine(power, topo(("80,88", "8"))) == Machine((2, 2), (1,))


def test_an_old_nvidia_smi_tells_no_numa_node():
    text = "\tGPU0\tCPU Affinity\nGPU0\t X \t2-3\n"
    assert detect.machine(lscpu(2, 2), text).gpu_sockets == (1,)


def test_a_gpu_that_is_near_to_nothing_in_particular_is_not_guessed():
    with pytest.raises(NotSeen, match="GPU 0"):
        detect.machine(lscpu(2, 2), topo(("N/A", "N/A")))


def test_with_one_socket_there_is_nothing_to_guess():
    assert detect.machine(SMALL, topo(("N/A", "N/A"))).gpu_sockets == (0,)


def test_cores_can_be_left_idle():
    assert detect.machine(lscpu(2, 9), cores=8).cores == (8, 8)
    with pytest.raises(NotSeen, match="more than the 9"):
        detect.machine(lscpu(2, 9), cores=10)


def test_a_machine_that_says_nothing_is_not_seen():
    with pytest.raises(NotSeen):
        detect.machine("lscpu: not found\n")


def test_sockets_that_are_not_told_are_one():
    assert detect.machine(HEAD + "0,0,,\n1,1,,\n").cores == (2,)


@given(st.text(), st.text())
def test_no_text_makes_the_reader_stumble(cpus, gpus):
    with contextlib.suppress(NotSeen):
        detect.machine(cpus + "\n0,0,0,0\n", "\tGPU0\tCPU Affinity\tNUMA Affinity\n" + gpus)
