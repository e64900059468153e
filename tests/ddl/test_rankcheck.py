"""Judging rank files that are there."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddlcheck.ddl import rankcheck
from ddlcheck.ddl.rankfile import Machine
from ddlcheck.verdict import Status, exit_status

DATA = pathlib.Path(__file__).parent / "data"
TWO = {"ib1": 4, "ib2": 4}


def judge(text, allocated=TWO, machines=None):
    return rankcheck.judge(rankcheck.parse(text), allocated, machines)


def worst(verdicts):
    return max(verdicts, key=lambda one: one.status)


def ib():
    return (DATA / "4x2x1-ib.rf").read_text()


@pytest.mark.parametrize("name", ["4x1x1.rf", "4x2x1-ib.rf", "4x2x1.rf", "4x2x3.rf"])
def test_powerai_s_own_files_are_right_for_their_hosts(name):
    file = rankcheck.parse((DATA / name).read_text())
    hosts = dict.fromkeys((one.host for one in file.entries), 4)
    assert exit_status(rankcheck.judge(file, hosts, dict.fromkeys(hosts, Machine((10, 10))))) == 0


def test_the_original_s_host_names_that_the_allocation_does_not_use_fail():
    found = worst(judge(ib(), {"minsky1": 4, "minsky2": 4}))
    assert found.status is Status.FAIL
    assert found.evidence["strange"] == ["ib1", "ib2"]


def test_a_host_that_is_only_spelt_otherwise_is_named():
    found = worst(judge(ib(), {"IB1": 4, "ib2": 4}))
    assert found.status is Status.FAIL
    assert found.evidence["meant"] == {"ib1": "IB1"}


def test_a_domain_too_much_is_a_warning_since_open_mpi_strips_it():
    found = worst(judge(ib(), {"ib1.example.com": 4, "ib2.example.com": 4}))
    assert found.status is Status.WARN


def test_two_domains_of_one_short_name_are_two_hosts():
    text = "rank 0=a.one.example slot=0:0\n"
    assert worst(judge(text, {"a.two.example": 1})).status is Status.FAIL


def test_more_ranks_than_slots_fail():
    found = worst(judge(ib(), {"ib1": 4, "ib2": 2}))
    assert (found.status, found.evidence["ranks"]) == (Status.FAIL, {"ib2": 4})


def test_slots_nobody_told_are_skipped_and_not_passed():
    verdicts = judge(ib(), {"ib1": 0, "ib2": 0})
    assert [one.seen for one in verdicts if one.status is Status.SKIP and "slots" in one.seen]


def test_cores_are_not_passed_when_nothing_is_known_of_them():
    assert any(one.status is Status.SKIP and "cores" in one.seen for one in judge(ib()))


def test_cores_that_do_not_exist_fail_with_the_line():
    found = worst(judge(ib(), machines=dict.fromkeys(TWO, Machine((6, 6)))))
    assert (found.status, found.evidence["slot"]) == (Status.FAIL, "0:4-7")


def test_a_socket_that_does_not_exist_fails():
    found = worst(judge(ib(), machines=dict.fromkeys(TWO, Machine((20,)))))
    assert (found.status, found.evidence["slot"]) == (Status.FAIL, "1:0-3")


def test_a_host_whose_cores_are_not_known_is_unknown():
    found = worst(judge(ib(), machines={"ib1": Machine((8, 8))}))
    assert (found.status, found.nodes) == (Status.UNKNOWN, ("ib2",))


def test_a_rank_that_is_missing_fails():
    found = worst(judge(ib().replace("rank 3", "rank 8")))
    assert found.evidence["missing"] == [3]


def test_a_rank_that_stands_twice_fails():
    found = worst(judge(ib().replace("rank 3", "rank 2")))
    assert found.evidence["duplicate"] == [2]


def test_a_core_for_two_ranks_fails():
    found = worst(judge("rank 0=ib1 slot=0:0-3\nrank 1=ib1 slot=0:3-7\n", {"ib1": 2}))
    assert found.evidence["ranks"] == [0, 1]


def test_the_same_core_of_two_hosts_is_two_cores():
    assert exit_status(judge("rank 0=ib1 slot=0:0\nrank 1=ib2 slot=0:0\n", {"ib1": 1, "ib2": 1})) == 0


def test_a_host_without_a_rank_is_a_warning():
    found = worst(judge(ib(), {**TWO, "ib3": 4}))
    assert (found.status, found.nodes) == (Status.WARN, ("ib3",))


def test_a_line_nobody_reads_fails_with_its_number():
    found = worst(judge(ib() + "rnak 8=ib1 slot=0:0\n"))
    assert found.seen.startswith("line 12: rnak")


def test_an_empty_file_fails():
    assert worst(judge("# only words\n")).status is Status.FAIL


@pytest.mark.parametrize(
    ("slot", "cores"),
    [
        ("0:0-2", {(0, 0), (0, 1), (0, 2)}),
        ("0:0,1", {(0, 0), (0, 1)}),
        ("0:0,1:3", {(0, 0), (1, 3)}),
        ("0:0;1:3", {(0, 0), (1, 3)}),
        ("4-5", {(None, 4), (None, 5)}),
        ("0:*", set()),
        ("p3", set()),
    ],
)
def test_each_form_of_slot_that_open_mpi_reads_is_read(slot, cores):
    (entry,) = rankcheck.parse(f"rank 0=a slot={slot} # why\n").entries
    assert entry.cores == cores


@pytest.mark.parametrize("slot", ["3-1", "0:", "a", "0:0:0", ""])
def test_other_forms_are_not(slot):
    assert rankcheck.parse(f"rank 0=a slot={slot}\n").entries == ()


def test_relative_hosts_are_for_open_mpi_4_only_inside_a_job():
    file = rankcheck.parse("rank 0=+n0 slot=0:0\nrank 1=+N0 slot=0:1\n")
    found = rankcheck.relative(file, "")
    assert (found.status, found.evidence["relative"]) == (Status.FAIL, ["+n0", "+N0"])
    assert rankcheck.relative(file, "slurm") is None
    assert rankcheck.relative(rankcheck.parse(ib()), "") is None


def test_relative_hosts_are_counted_from_the_allocation():
    assert exit_status(judge("rank 0=+n0 slot=0:0\nrank 1=+n1 slot=0:0\n")) == 0
    assert worst(judge("rank 0=+n2 slot=0:0\n")).status is Status.FAIL


@given(st.text())
def test_no_text_makes_the_judge_stumble(text):
    verdicts = judge(text + "\nrank 0=ib1 slot=0:0\n")
    assert all(one.promise == "rankfile" for one in verdicts)


# The texts are Open MPI 5.0.11's: mpirun --map-by rankfile:file=F --display map --runtime-options donotlaunch
REFUSED = "The rankfile that was used claimed that a host was either not\nallocated or oversubscribed its slots.\n\n  Host: nosuch\n"
NO_CPU = "While parsing the rankfile, prterun encountered a line that specified\na non-existent CPU:\n\n  Slots: 0:7\n"


@pytest.mark.parametrize(
    ("said", "here", "status"),
    [
        ((0, "JOB MAP"), True, Status.PASS),
        ((213, REFUSED), False, Status.FAIL),
        ((213, NO_CPU), True, Status.FAIL),
        ((213, NO_CPU), False, Status.SKIP),
        ((1, "something else"), True, Status.UNKNOWN),
        (None, True, Status.UNKNOWN),
    ],
)
def test_open_mpi_s_dry_run_is_believed_as_far_as_it_sees(said, here, status):
    assert rankcheck.dry_run(said, here_is_a_host=here).status is status
