"""Open MPI: one everywhere, found where daemons look, with nothing switched off."""

from __future__ import annotations

import pytest

from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"
FILE = "/etc/openmpi/openmpi-mca-params.conf"
# As Debian 12's libopenmpi3 4.1.4-3 ships it, comments left out.
DEBIAN = "btl_base_warn_component_unused=0\nmtl = ^ofi\nbtl = ^uct,openib,ofi\npml = ^ucx\nosc = ^ucx,pt2pt\n"


def cluster(**values):
    return Cluster("openmpi", **values)


def said(it, old, new, node=NODE):
    text = it.seen[node]["session"].text
    assert old in text
    return it.put(node, "session", text.replace(old, new), rc=0)


def section(it, name, *lines, node=NODE):
    return said(it, f"@{name}\n", "".join(f"{line}\n" for line in (f"@{name}", *lines)), node)


def test_one_version_everywhere_keeps_the_promise():
    it = cluster()
    assert it.bad() == []
    verdict = it.judge(NODE)
    assert (verdict.seen, verdict.evidence["path"]) == ("4.1.4", ["/usr/bin/mpirun", "/usr/bin/orted"])
    assert any(line.startswith("config:cli") for line in verdict.evidence["build"])


def test_a_session_that_cannot_be_opened_is_unknown():
    verdict = Cluster("openmpi", "rack").judge(NODE)
    assert verdict.status == Status.UNKNOWN
    assert "Could not resolve hostname" in verdict.seen


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(why="failed", err="KeyError: 'getpwnam(): name not found: ddl'"), f"there is no user ddl on {NODE}"),
        (Answer(rc=255, err="Your account has expired; ask.\n"), f"the account of ddl has expired on {NODE}"),
        (Answer(rc=1), "the job user's shell is /bin/false: it runs no command"),
    ],
)
def test_an_account_that_lets_nobody_in_is_the_cause(answer, cause):
    it = cluster().put(NODE, "account", "ddl:x:1:1::/home/ddl:/bin/false\n@home\n@shell\n@end\n", rc=0)
    it.seen[NODE]["session"] = answer
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.cause) == (Status.UNKNOWN, cause)


@pytest.mark.parametrize("rc", [0, 3])
def test_a_session_that_ends_before_its_first_word_is_a_profile_s_doing(rc):
    verdict = cluster().put(NODE, "session", "", rc=rc).judge(NODE)
    assert verdict.status == Status.UNKNOWN
    assert verdict.cause == "the session ended before the command: a profile of ddl exits"


@pytest.mark.parametrize("transport", ["any", "verbs"])
def test_the_distribution_s_exclusions_fail(transport):
    verdict = cluster(openmpi_transport=transport).edit(NODE, "files", FILE, DEBIAN).judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "openmpi")
    assert f"{FILE} says pml = ^ucx" in verdict.cause
    assert verdict.evidence["parameters"]["pml"] == ["^ucx", FILE]


def test_where_tcp_is_declared_ucx_may_be_off():
    assert cluster(openmpi_transport="tcp").edit(NODE, "files", FILE, DEBIAN).judge(NODE).status == Status.PASS


def test_what_the_site_declares_is_no_fault():
    it = cluster(openmpi_mca={"pml": "ob1"}).edit(NODE, "files", FILE, "pml = ob1\n")
    assert it.judge(NODE).status == Status.PASS


def test_a_declared_parameter_that_is_not_there_fails():
    verdict = cluster(openmpi_mca={"btl_tcp_links": 2}).judge(NODE)
    assert (verdict.status, verdict.seen) == (Status.FAIL, "btl_tcp_links is nothing")


@pytest.mark.parametrize("value", ["ucx", "ucx,ob1", "^ob1", "cm", ""])
def test_values_that_leave_ucx_in_are_fine(value):
    assert cluster().edit(NODE, "files", FILE, f"pml = {value}\n").judge(NODE).status == Status.PASS


@pytest.mark.parametrize("value", ["^ucx", "^cm,ucx", "ob1", "ob1,v"])
def test_values_that_leave_ucx_out_are_not(value):
    assert cluster().edit(NODE, "files", FILE, f"pml={value}\n").judge(NODE).status == Status.FAIL


def test_excluding_openib_alone_is_what_everybody_should_do():
    assert cluster().edit(NODE, "files", FILE, "btl = ^openib\n").judge(NODE).status == Status.PASS


def test_the_last_line_of_a_file_wins():
    assert cluster().edit(NODE, "files", FILE, "pml = ^ucx\npml = ucx\n").judge(NODE).status == Status.PASS


def test_a_commented_line_says_nothing():
    assert cluster().edit(NODE, "files", FILE, "# pml = ^ucx\n").judge(NODE).status == Status.PASS


def test_the_user_s_file_wins_over_the_site_s():
    verdict = section(cluster(), "user", "pml = ob1").judge(NODE)
    assert "~/.openmpi/mca-params.conf says pml = ob1" in verdict.cause


def test_the_environment_wins_over_both():
    it = section(section(cluster(), "user", "pml = ob1"), "env", "OMPI_MCA_pml=ucx")
    assert it.judge(NODE).status == Status.PASS
    it = section(cluster(), "env", "OMPI_MCA_pml=^ucx")
    assert "the environment (OMPI_MCA_*) says pml = ^ucx" in it.judge(NODE).cause


def test_a_prefix_of_its_own_does_not_read_etc_openmpi():
    it = cluster(openmpi_prefix="/opt/openmpi").edit(NODE, "files", FILE, DEBIAN)
    assert it.judge(NODE).status == Status.PASS
    it.edit(NODE, "files", "/opt/openmpi/etc/openmpi-mca-params.conf", DEBIAN)
    assert it.judge(NODE).status == Status.FAIL


def test_no_mpirun_at_all_fails():
    it = cluster().put(NODE, "session", "@path\n@version\n@build\n@compiler\n@env\n@user\n@end\n", rc=0)
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.seen) == (Status.FAIL, "no mpirun")
    assert "there is no mpirun" in verdict.cause


def test_an_mpirun_of_another_make_is_not_open_mpi():
    verdict = said(cluster(), "mpirun (Open MPI) 4.1.4", "HYDRA build details:").judge(NODE)
    assert verdict.status == Status.FAIL
    assert "does not say that it is Open MPI" in verdict.cause


def test_an_mpirun_without_its_daemon_fails():
    verdict = said(cluster(), "/usr/bin/orted\n", "").judge(NODE)
    assert (verdict.status, verdict.evidence["path"]) == (Status.FAIL, ["/usr/bin/mpirun"])


def test_an_mpirun_outside_the_path_is_a_warning():
    verdict = said(cluster(), "/usr/bin/mpirun\n/usr/bin/orted\n", "").judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.WARN, "inspect")
    assert "PATH" in verdict.cause


def test_a_compiler_of_another_version_fails():
    it = said(cluster(), "@compiler\n", "@compiler\nmpicc: Open MPI 5.0.3 (Language: C)\n")
    assert "mpicc says" in it.judge(NODE).cause


def test_a_node_without_a_compiler_can_still_run_jobs():
    it = cluster()
    text = it.seen[NODE]["session"].text
    head, _, rest = text.partition("@compiler\n")
    it.put(NODE, "session", f"{head}@compiler\n@env\n{rest.partition('@env' + chr(10))[2]}", rc=0)
    assert it.judge(NODE).status == Status.PASS


def test_the_odd_version_is_named_by_majority():
    (verdict,) = said(cluster(), "(Open MPI) 4.1.4", "(Open MPI) 5.0.7").together()
    assert (verdict.status, verdict.nodes, verdict.evidence["version"], verdict.evidence["usual"]) == (
        Status.FAIL, (NODE,), "5.0.7", "4.1.4",
    )  # fmt: skip


def test_another_build_of_the_same_version_is_named_too():
    (verdict,) = said(cluster(), "config:timestamp:", "config:timestamp:x").together()
    assert verdict.nodes == (NODE,)
    assert "another build" in verdict.cause


def test_without_a_majority_all_are_named():
    it = said(cluster(), "(Open MPI) 4.1.4", "(Open MPI) 5.0.7", "minsky1")
    verdicts = said(it, "(Open MPI) 4.1.4", "(Open MPI) 5.0.7").together()
    assert sorted(n for v in verdicts for n in v.nodes) == ["minsky1", "minsky2", "minsky3", "minsky4"]


def test_nodes_without_a_session_are_left_out_of_the_comparison():
    it = cluster()
    for node in it.seen:
        it.put(node, "session", why="deadline")
    assert it.together() == []


def test_a_session_that_broke_off_is_unknown():
    it = cluster()
    it.put(NODE, "session", it.seen[NODE]["session"].text.partition("@env")[0], rc=0)
    assert it.judge(NODE).status == Status.UNKNOWN


def test_a_shell_that_prints_first_does_not_spoil_the_look():
    it = cluster()
    assert it.put(NODE, "session", "Welcome\n" + it.seen[NODE]["session"].text, rc=0).judge(NODE).status == Status.PASS


def test_a_prefix_with_a_quote_stays_one_word():
    it = cluster(openmpi_prefix="/opt/x'; reboot; '")
    script = it.check.wants(it.intents[NODE])["session"]["argv"][-1]
    assert script.endswith("sh '/opt/x'\\''; reboot; '\\''' 2>/dev/null")


@pytest.mark.parametrize("want", ["session", "files"])
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(want, answer):
    it = cluster()
    it.seen[NODE][want] = answer
    expected = {Status.UNKNOWN, Status.FAIL} | ({Status.PASS} if want == "files" and answer.data == {} else set())
    assert it.judge(NODE).status in expected or isinstance(answer.data, dict)


def test_an_infiniband_device_is_part_of_the_evidence():
    it = cluster()
    it.seen[NODE]["hca"] = Answer(data={"/sys/class/infiniband/mlx5_0/node_type": "1: CA\n"})
    assert it.judge(NODE).evidence["hca"] == ["/sys/class/infiniband/mlx5_0/node_type"]
