"""Launch lines for Open MPI 4 and 5."""

import pytest

from ddlcheck.ddl import dialect
from ddlcheck.errors import UsageError

FOUR = dialect.open_mpi("mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n")
FIVE = dialect.open_mpi("mpirun (Open MPI) 5.0.11\n", "/opt/m/bin/mpirun", "/opt/m")
JOB = dialect.Job(8, "/r/rankfile", "/r/hostfile", ["caffe", "train"])


def line(mpi, **more):
    return " ".join(dialect.compose(mpi, JOB._replace(**more), {}))


def test_the_version_decides_the_daemon():
    assert (FOUR.version, FOUR.daemon, str(FOUR)) == ((4, 1, 4), "orted", "4.1.4")
    assert (FIVE.version, FIVE.daemon) == ((5, 0, 11), "prted")


@pytest.mark.parametrize(
    "text", ["mpirun (Open MPI) 3.1.6\n", "HYDRA build details:\n Version: 4.1\n", "", "slurm 23\n"]
)
def test_other_launchers_are_refused_in_a_sentence(text):
    with pytest.raises(UsageError):
        dialect.open_mpi(text)


def test_open_mpi_4():
    assert line(FOUR) == "mpirun -n 8 --hostfile /r/hostfile --rankfile /r/rankfile caffe train"


def test_open_mpi_5_needs_an_allocation_a_mapper_and_the_resolver():
    assert line(FIVE) == (
        "/opt/m/bin/mpirun --prefix /opt/m -n 8 --hostfile /r/hostfile --prtemca prte_do_not_resolve 0 "
        "--map-by rankfile:file=/r/rankfile caffe train"
    )


@pytest.mark.parametrize("mpi", [FOUR, FIVE])
def test_under_a_manager_the_hosts_are_the_manager_s(mpi):
    said = line(mpi, manager="slurm")
    assert "hostfile" not in said
    assert "do_not_resolve" not in said
    assert "rankfile" in said


def test_an_interface_is_said_to_the_ranks_and_to_the_daemons():
    assert "--mca btl_tcp_if_include ib0 --mca oob_tcp_if_include ib0" in line(FOUR, interface="ib0")
    assert "--mca btl_tcp_if_include ib0 --prtemca prte_if_include ib0" in line(FIVE, interface="ib0")


@pytest.mark.parametrize("mpi", [FOUR, FIVE])
def test_values_of_variables_stay_out_of_the_process_list(mpi):
    said = " ".join(dialect.compose(mpi, JOB._replace(env=["TOKEN"]), {"TOKEN": "secret"}))
    assert "-x TOKEN" in said
    assert "secret" not in said


def test_the_library_path_of_5_keeps_the_prefix_in_front():
    job = JOB._replace(env=["LD_LIBRARY_PATH"])
    argv = dialect.compose(FIVE, job, {"LD_LIBRARY_PATH": "/a:/opt/m/lib:/b"}, "/opt/m/lib")
    assert "LD_LIBRARY_PATH=/opt/m/lib:/a:/b" in argv
    assert "LD_LIBRARY_PATH" in dialect.compose(FOUR, job, {"LD_LIBRARY_PATH": "/a"}, "/opt/m/lib")
    assert "LD_LIBRARY_PATH" in dialect.compose(FIVE._replace(prefix=""), job, {"LD_LIBRARY_PATH": "/a"}, "")


def test_more_words_come_before_the_command():
    assert line(FOUR, mpiargs=["--tag-output"]).endswith("--tag-output caffe train")


def test_the_host_file_names_slots():
    assert dialect.hostfile({"a": 4, "b": 2}) == "a slots=4\nb slots=2\n"


def test_the_note_in_a_rank_file_is_a_line_that_open_mpi_5_takes():
    assert "mpirun -n 8 --host a:4,b:4 --map-by rankfile:file=FILE" in "\n".join(dialect.note(8, {"a": 4, "b": 4}))
