"""What can stop a launch, from what the nodes said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck.ddl import dialect, precheck, seen
from ddlcheck.verdict import Status, exit_status

MPI = dialect.open_mpi("mpirun (Open MPI) 4.1.4\n")
ANSWER = """Welcome to node!
@ddlcheck memlock
unlimited
@ddlcheck host
{host}
@ddlcheck boot
boot-of-{host}
@ddlcheck rdma
mlx5_0
@ddlcheck daemon
/usr/bin/orted
@ddlcheck mpi
Open MPI v4.1.4

http://www.open-mpi.org/community/help/
@ddlcheck build
config:cli: '--prefix=/usr'
@ddlcheck lscpu
# CPU,Core,Socket,Node
0,0,0,0
1,1,0,0
@ddlcheck done
@ddlcheck topo
@ddlcheck end
"""


def says(host, *changes):
    text = ANSWER.format(host=host)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return seen.read(text)


def judge(answers, **more):
    ranks = dict.fromkeys(answers, 2)
    plan = precheck.Plan(MPI, ranks, dict.fromkeys(answers, 0), says("head"))._replace(**more)
    return precheck.judge(plan, answers)


def of(verdicts, promise):
    return max((one for one in verdicts if one.promise == promise), key=lambda one: one.status)


def test_two_good_nodes_are_ready():
    verdicts = judge({"a": says("a"), "b": says("b")})
    assert exit_status(verdicts) == 0
    assert {one.nodes for one in verdicts} == {("a",), ("b",)}


def test_what_a_login_prints_is_passed_over():
    assert says("a")["memlock"] == "unlimited"


@pytest.mark.parametrize(
    ("reason", "promise", "status"),
    [
        ("name", "hosts_file", Status.FAIL),
        ("key refused", "ssh_mesh", Status.FAIL),
        ("host key unknown", "ssh_mesh", Status.FAIL),
        ("timeout", "ssh_mesh", Status.FAIL),
        ("garbage", "ssh_mesh", Status.UNKNOWN),
        ("", "ssh_mesh", Status.UNKNOWN),
    ],
)
def test_a_node_that_cannot_be_reached_says_which_promise_is_broken(reason, promise, status):
    (found,) = judge({"a": seen.Seen({}, reason, "ssh: …")})
    assert (found.promise, found.status, found.nodes) == (promise, status, ("a",))
    assert found.cause
    assert found.remedy


def test_64_kib_of_locked_memory_stop_an_rdma_node():
    found = of(judge({"a": says("a", ("unlimited", "64"))}), "memlock")
    assert (found.status, found.remedy, found.evidence["soft"]) == (Status.FAIL, "memlock", "64")


def test_without_an_rdma_device_and_a_promise_locked_memory_is_not_judged():
    answer = says("a", ("unlimited", "64"), ("mlx5_0\n", ""))
    assert of(judge({"a": answer}), "memlock").status is Status.SKIP
    assert of(judge({"a": answer}, memlock={"a": "unlimited"}), "memlock").status is Status.FAIL
    assert of(judge({"a": answer}, memlock={"a": "64"}), "memlock").status is Status.PASS


def test_another_host_name_warns_and_stops_a_managed_job():
    answers = {"ib1": says("minsky1")}
    assert of(judge(answers), "hostname").status is Status.WARN
    found = of(judge(answers, manager="slurm"), "hostname")
    assert (found.status, found.remedy) == (Status.FAIL, "hostname")


@pytest.mark.parametrize("name", ["a", "a.example.com", "A"])
def test_short_and_qualified_are_one_name(name):
    assert of(judge({"a": says(name)}), "hostname").status is Status.PASS


def test_a_missing_daemon_says_where_it_was_looked_for():
    answer = says("a", ("/usr/bin/orted\n", ""))
    assert of(judge({"a": answer}), "openmpi").seen == "no orted on the PATH of a non-interactive shell"
    there = MPI._replace(prefix="/opt/m")
    assert of(judge({"a": answer}, mpi=there), "openmpi").seen == "no orted in /opt/m/bin"


def test_another_version_fails_and_another_build_warns():
    assert of(judge({"a": says("a", ("4.1.4", "4.1.6"))}), "openmpi").status is Status.FAIL
    assert of(judge({"a": says("a", ("/usr'", "/opt'"))}), "openmpi").status is Status.WARN


def test_a_node_that_stops_in_the_middle_is_unknown_and_never_passes():
    answer = seen.read(ANSWER.format(host="a").partition("@ddlcheck build")[0], "timeout", "no answer within 15 s")
    verdicts = judge({"a": answer})
    assert of(verdicts, "openmpi").status is Status.UNKNOWN
    assert exit_status(verdicts) == 3


def test_an_nvidia_smi_that_hangs_is_unknown():
    answer = seen.read(ANSWER.format(host="a").partition("@ddlcheck end")[0], "timeout", "no answer within 15 s")
    assert of(judge({"a": answer}), "gpu").status is Status.UNKNOWN


def test_more_ranks_than_slots_or_cores_fail():
    answers = {"a": says("a")}
    assert of(judge(answers, slots={"a": 1}), "rankfile").seen == "1 slot"
    assert of(judge(answers, ranks={"a": 4}), "rankfile").seen == "2 cores"


def test_a_gpu_that_is_missing_fails_only_if_it_was_promised():
    one_gpu = says("a", ("@ddlcheck topo\n", "@ddlcheck topo\n\tGPU0\tCPU Affinity\nGPU0\t X \t0-1\n"))
    assert of(judge({"a": one_gpu}, gpus_declared=True), "gpu").status is Status.FAIL
    assert of(judge({"a": says("a")}, gpus_declared=True), "gpu").status is Status.SKIP


def test_two_names_of_one_machine_fail():
    found = of(judge({"a": says("a"), "b": says("a")}), "hosts_file")
    assert (found.status, found.nodes) == (Status.FAIL, ("a", "b"))


@given(st.text())
def test_nothing_a_node_says_makes_the_judge_stumble(text):
    assert judge({"a": seen.read("@ddlcheck host\n" + text)})


def test_the_question_quotes_the_prefix():
    assert "P='/opt/a b'" in seen.script("orted", "/opt/a b")
