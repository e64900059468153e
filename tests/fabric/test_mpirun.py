import pytest

from ddlcheck.errors import UsageError
from ddlcheck.fabric import mpirun

V4 = mpirun.detect("mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n")
V5 = mpirun.detect("mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/community/help/\n")
HYDRA = mpirun.detect("HYDRA build details:\n    Version:                                 4.1.1\n")


def test_versions_are_told():
    assert (V4.family, V4.version, V4.prrte) == (mpirun.OPEN_MPI, (4, 1, 4), False)
    assert (V5.version, V5.prrte) == ((5, 0, 11), True)
    assert (HYDRA.family, HYDRA.version) == (mpirun.MPICH, (4, 1))


@pytest.mark.parametrize("text", ["", "bash: mpirun: command not found", "prun 1.0"])
def test_an_unknown_launcher_is_refused(text):
    with pytest.raises(UsageError, match="no kind that is known"):
        mpirun.detect(text)


def command(dialect, **more):
    return mpirun.command(dialect, ["prog", "a b"], hostfile="/h", ranks=2, **more)


def test_the_launchers_parameters_have_other_names_in_five():
    four, five = (" ".join(command(d, agent="/a", interfaces=["ib0"])) for d in (V4, V5))
    assert "--mca plm_rsh_agent /a" in four
    assert "--mca oob_tcp_if_include ib0" in four
    assert "--prtemca plm_ssh_agent /a" in five
    assert "--prtemca prte_if_include ib0" in five
    assert all("--mca btl_tcp_if_include ib0" in text for text in (four, five))


@pytest.mark.parametrize("dialect", [V4, V5, HYDRA])
def test_the_program_stays_an_argument_list(dialect):
    assert command(dialect)[-2:] == ["prog", "a b"]


@pytest.mark.parametrize("dialect", [V4, V5])
def test_no_transport_is_forced_unless_asked(dialect):
    assert "pml" not in command(dialect)
    assert "btl" in command(dialect, transport="tcp")


def test_root_is_only_allowed_where_we_are_root():
    assert "--allow-run-as-root" not in command(V4)
    assert "--allow-run-as-root" in command(V4, root=True)


@pytest.mark.parametrize("host", ["-x", "", "a b", "a;b", "--host", "a\nb", "$(x)"])
def test_a_host_that_is_no_name_is_refused(host):
    with pytest.raises(UsageError, match="host file"):
        mpirun.hostfile(V4, [host], 1)


@pytest.mark.parametrize("word", ["-x", "eth0 ", "a\nb"])
def test_an_interface_that_is_no_name_is_refused(word):
    with pytest.raises(UsageError, match="cannot be passed"):
        command(V4, interfaces=[word])


def test_slots_are_in_the_host_file():
    assert mpirun.hostfile(V5, ["a", "b"], 2) == b"a slots=2\nb slots=2\n"
    assert mpirun.hostfile(HYDRA, ["a"], 2) == b"a:2\n"
