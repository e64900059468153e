"""Host lists."""

import pytest

from ddlcheck.ddl import hosts
from ddlcheck.errors import UsageError


def nothing(path):
    raise FileNotFoundError(2, "No such file or directory")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b", ["a", "b"]),
        ("b,a", ["b", "a"]),
        ("sys-[89074-89076]", ["sys-89074", "sys-89075", "sys-89076"]),
        ("r[1-2]n[01-02]", ["r1n01", "r1n02", "r2n01", "r2n02"]),
        ("z,n[9,11-12]", ["z", "n9", "n11", "n12"]),
        (" a , b ", ["a", "b"]),
        ("10.1.1.1,a.example.com", ["10.1.1.1", "a.example.com"]),
    ],
)
def test_host_lists_keep_the_order_they_are_written_in(text, names):
    assert list(hosts.parse_hosts(text)) == names


def test_slots_follow_a_colon():
    assert hosts.parse_hosts("a:4,n[1-2]:2,b") == {"a": 4, "n1": 2, "n2": 2, "b": 0}


@pytest.mark.parametrize(
    "text",
    ["", ",", "-oProxyCommand=x", "a,-b", "a,a", "n[1-2],n2", "n[1-", "n]1[", "a b;c", "a:0", "a:x", "$(x)", "@all",
     "n[1-999999999]", "n[1-9999]m[1-9999]", "a!b", "x" * 300, "n[1-2]:x", "a/../b"],
)  # fmt: skip
def test_what_is_no_host_list_is_one_sentence(text):
    with pytest.raises(UsageError) as error:
        hosts.parse_hosts(text)
    assert "\n" not in str(error.value)


def test_slurm_s_job_gives_hosts_and_slots():
    env = {"SLURM_JOB_NODELIST": "n[01-02],m5", "SLURM_TASKS_PER_NODE": "4(x2),2"}
    found = hosts.from_environment(env, nothing)
    assert (found, found.manager) == ({"n01": 4, "n02": 4, "m5": 2}, "slurm")


def test_slurm_that_contradicts_itself_is_refused():
    with pytest.raises(UsageError, match="speaks of 2 nodes"):
        hosts.from_environment({"SLURM_JOB_NODELIST": "n1", "SLURM_TASKS_PER_NODE": "4(x2)"}, nothing)


@pytest.mark.parametrize("text", ["4(x", "x", "", "4(2x)"])
def test_what_slurm_does_not_write_is_refused(text):
    with pytest.raises(UsageError):
        hosts.slurm_counts(text)


def test_slurm_without_tasks_does_not_say_how_many_slots():
    assert hosts.from_environment({"SLURM_JOB_NODELIST": "n1"}, nothing) == {"n1": 0}


def test_pbs_s_node_file_counts_slots():
    found = hosts.from_environment({"PBS_NODEFILE": "f"}, lambda path: "n1\nn1\nn2\n")
    assert (found, found.manager) == ({"n1": 2, "n2": 1}, "pbs")


@pytest.mark.parametrize("read", [nothing, lambda path: ""])
def test_a_pbs_node_file_that_says_nothing_is_refused(read):
    with pytest.raises(UsageError):
        hosts.from_environment({"PBS_NODEFILE": "f"}, read)


def test_outside_a_job_there_is_no_allocation():
    assert hosts.from_environment({}, nothing) is None


def test_short_names_that_become_one_are_refused():
    assert hosts.shorten(["a.x", "b.x", "10.1.1.1"]) == ["a", "b", "10.1.1.1"]
    with pytest.raises(UsageError, match=r"a\.x and a\.y"):
        hosts.shorten(["a.x", "a.y"])


def test_qualified_names_come_from_the_resolver():
    assert hosts.qualify(["a", "b.y"], lambda host: f"{host}.x.") == ["a.x", "b.y"]
    with pytest.raises(UsageError, match="a has no qualified name"):
        hosts.qualify(["a"], lambda host: "")


def test_a_host_is_called_as_the_allocation_calls_it():
    allocation = hosts.Allocation({"n1": 4, "n2.x": 4}, "slurm")
    assert hosts.as_allocated(["n1.x", "N2"], allocation) == ["n1", "n2.x"]
    assert hosts.as_allocated(["q"], None) == ["q"]
    with pytest.raises(UsageError, match="host n3 is not in the slurm allocation"):
        hosts.as_allocated(["n3"], allocation)
