"""Open MPI: one everywhere, found where daemons look, with nothing switched off."""

from __future__ import annotations

import pathlib

import pytest

from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"
FILE = "/etc/openmpi/openmpi-mca-params.conf"
OMPI_INFO = pathlib.Path(__file__).parents[1] / "machines" / "openmpi"
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


def test_where_no_session_can_be_opened_yet_what_is_not_installed_is_said_all_the_same():
    verdict = Cluster("openmpi", "rack").judge(NODE)
    assert (verdict.status, verdict.seen, verdict.remedy) == (Status.FAIL, "no mpirun", "openmpi")
    assert "Could not resolve hostname" in verdict.evidence["session"]


def unopened(**values):
    """Return a cluster whose nodes hold all that is declared, but whose names do not resolve yet."""
    it, rack = cluster(**values), Cluster("openmpi", "rack")
    for node in it.seen:
        it.seen[node].update(local=it.seen[node]["session"], session=rack.seen[node]["session"])
    return it


def test_what_is_in_order_without_a_session_is_unknown_still():
    verdict = unopened().judge(NODE)
    assert verdict.status == Status.UNKNOWN
    assert "Could not resolve hostname" in verdict.seen


def test_a_transport_that_is_switched_off_is_seen_without_a_session():
    verdict = unopened().edit(NODE, "files", FILE, DEBIAN).judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "openmpi")
    assert f"{FILE} says pml = ^ucx" in verdict.cause


def test_a_look_without_a_session_that_broke_off_proves_nothing():
    it = unopened()
    assert it.put(NODE, "local", "@path\n", rc=0).judge(NODE).status == Status.UNKNOWN
    assert it.put(NODE, "local", why="denied").judge(NODE).status == Status.UNKNOWN


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
    it = cluster().put(NODE, "session", "@path\n@barred\n@version\n@build\n@compiler\n@env\n@user\n@end\n", rc=0)
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


@pytest.mark.parametrize(
    ("gone", "barred"),
    [
        ("/usr/bin/mpirun\n", "/usr/bin/mpirun"),
        ("/usr/bin/orted\n", "/usr/bin/orted"),
        ("mpicc: Open MPI 4.1.4 (Language: C)\n", "/usr/bin/mpicc"),
    ],
)
def test_a_program_that_is_there_and_may_not_be_executed_is_no_work_for_the_role(gone, barred):
    it = section(said(cluster(), gone, ""), "barred", barred)
    if barred.endswith("mpirun"):
        said(it, "mpirun (Open MPI) 4.1.4", "")
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "inspect")
    assert verdict.cause.startswith(f"{barred} is there and may not be executed")


def test_a_barred_program_behind_one_that_works_does_not_matter():
    lines = ("/opt/old/bin/mpirun", "/opt/old/bin/orted", "/opt/old/bin/mpicc")
    assert section(cluster(), "barred", *lines).judge(NODE).status == Status.PASS


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


# ---- CUDA, level by level


def aware(build="own-4.1.4-cuda", old="", new="", **values):
    """Return a cluster that is declared CUDA-aware, and what one real build said of itself, a little changed."""
    text = (OMPI_INFO / f"{build}.txt").read_text()
    assert old in text
    return cluster(openmpi_cuda=True, **values).put(NODE, "cuda", text.replace(old, new) if old else text, rc=0)


@pytest.mark.parametrize("build", ["debian-4.1.4", "pypi-4.1.8", "pypi-5.0.11"])
def test_an_extension_called_cuda_is_no_cuda_support(build):
    assert "options:mpi_ext:affinity, cuda" in (OMPI_INFO / f"{build}.txt").read_text()
    verdict = aware(build).judge(NODE)
    assert (verdict.status, verdict.evidence["level"], verdict.remedy) == (Status.FAIL, "build", "openmpi")
    assert "CUDA level build" in verdict.cause


@pytest.mark.parametrize("build", ["debian-4.1.4", "pypi-4.1.8", "pypi-5.0.11"])
def test_where_cuda_is_not_declared_nobody_misses_it(build):
    it = cluster().put(NODE, "cuda", (OMPI_INFO / f"{build}.txt").read_text(), rc=0)
    assert "cuda" not in it.check.wants(it.intents[NODE])
    assert it.judge(NODE).status == Status.PASS


#: What the captured build lacks here, on a machine without a driver.
LACKS = "lacks libcuda.so.1\nlacks libnvidia-ml.so.1\n"


def test_a_build_with_cuda_and_a_driver_keeps_the_promise():
    verdict = aware(old=LACKS).judge(NODE)
    assert (verdict.status, verdict.evidence["cuda"]["built"]) == (Status.PASS, ["true"])
    assert verdict.evidence["cuda"]["ucx_module"].endswith("/ucx/libuct_cuda.so")


def test_without_a_driver_it_is_said_that_the_module_was_not_seen_to_load():
    verdict = aware().judge(NODE)
    assert (verdict.status, verdict.evidence["level"], verdict.remedy) == (Status.WARN, "driver", "inspect")


def test_what_surely_breaks_is_said_before_a_driver_that_was_not_seen():
    verdict = aware(old="@settings\n", new="@settings\nUCX_TLS=rc environment\n").judge(NODE)
    assert (verdict.status, verdict.evidence["level"]) == (Status.FAIL, "transports")


def test_with_a_gpu_a_missing_driver_library_fails():
    verdict = aware(old="@gpu\n", new="@gpu\n/dev/nvidia0\n").judge(NODE)
    assert (verdict.status, verdict.evidence["level"]) == (Status.FAIL, "ucx")
    assert "there is a GPU, but no libcuda.so.1" in verdict.cause


@pytest.mark.parametrize(
    ("old", "new", "level", "says"),
    [
        ("opal_cuda_support:value:true", "opal_cuda_support:value:false", "enabled", "opal_cuda_support is false"),
        ("module /opt/openmpi/lib/ucx/libuct_cuda.so", "module ", "ucx", "has no libuct_cuda.so"),
        ("library /opt/openmpi/lib/libucp.so.0", "library ", "ucx", "finds no libucp"),
        ("lacks libcuda.so.1", "lacks libcudart.so.12", "ucx", "there is no libcudart.so.12"),
        (
            f"{LACKS}@gpu\n@settings\n",
            "@gpu\n@settings\nUCX_TLS=rc,sm,self environment\n",
            "transports",
            "the environment says",
        ),
        (
            f"{LACKS}@gpu\n@settings\n",
            "@gpu\n@settings\nUCX_TLS=^cuda /etc/ucx/ucx.conf\n",
            "transports",
            "/etc/ucx/ucx.conf",
        ),
    ],
)
def test_the_level_at_which_it_breaks_is_named(old, new, level, says):
    verdict = aware(old=old, new=new).judge(NODE)
    assert (verdict.status, verdict.evidence["level"], verdict.remedy) == (Status.FAIL, level, "openmpi")
    assert says in verdict.cause


@pytest.mark.parametrize("tls", ["rc,sm,self,cuda_copy", "all", "rc,gpu", "^sysv", "^rc,ud"])
def test_transports_that_leave_cuda_in_are_fine(tls):
    new = f"@gpu\n@settings\nUCX_TLS={tls} environment\n"
    assert aware(old=f"{LACKS}@gpu\n@settings\n", new=new).judge(NODE).status == Status.PASS


def test_the_environment_s_transports_win_over_the_file_s():
    new = "@gpu\n@settings\nUCX_TLS=rc /etc/ucx/ucx.conf\nUCX_TLS=rc,cuda environment\n"
    assert aware(old=f"{LACKS}@gpu\n@settings\n", new=new).judge(NODE).status == Status.PASS


def test_over_tcp_ucx_is_not_asked():
    it = aware(old="module /opt/openmpi/lib/ucx/libuct_cuda.so", new="module ", openmpi_transport="tcp")
    assert it.edit(NODE, "files", FILE, "pml = ob1\n").judge(NODE).status == Status.PASS


@pytest.mark.parametrize("answer", GARBAGE)
def test_a_look_at_cuda_that_says_nothing_is_never_a_pass(answer):
    it = cluster(openmpi_cuda=True)
    it.seen[NODE]["cuda"] = answer
    assert it.judge(NODE).status == Status.UNKNOWN


# ---- the other ways in, and ranks


def test_what_other_ways_in_find_is_part_of_the_evidence():
    ways = cluster().judge(NODE).evidence["ways"]
    assert ways == {"login": ["/usr/bin/mpirun", "/usr/bin/orterun"], "sudo": ["/usr/bin/mpirun", "/usr/bin/orterun"]}


@pytest.mark.parametrize(("way", "status"), [("login", Status.FAIL), ("sudo", Status.WARN)])
def test_another_mpirun_for_who_comes_in_otherwise_is_said(way, status):
    verdict = (
        cluster().put(NODE, way, "@path\n/opt/old/bin/mpirun\n/opt/old/bin/orterun\n@env\n@end\n", rc=0).judge(NODE)
    )
    assert (verdict.status, verdict.remedy) == (status, "inspect")
    assert "finds /opt/old/bin/mpirun, a session over ssh /usr/bin/mpirun" in verdict.cause


def test_a_way_in_that_the_role_should_have_wired_is_the_role_s_to_mend():
    it = cluster(openmpi_prefix="/opt/openmpi").put(NODE, "login", "@path\n/usr/local/bin/mpirun\n@env\n@end\n", rc=0)
    assert it.judge(NODE).remedy == "openmpi"


def test_a_login_shell_without_mpirun_is_a_warning():
    verdict = cluster().put(NODE, "login", "@path\n@env\n@end\n", rc=0).judge(NODE)
    assert (verdict.status, verdict.seen) == (Status.WARN, "a login shell finds no mpirun")


def test_a_profile_that_switches_ucx_off_for_login_shells_fails():
    text = "@path\n/usr/bin/mpirun\n@env\nOMPI_MCA_pml=ob1\n@end\n"
    verdict = cluster().put(NODE, "login", text, rc=0).judge(NODE)
    assert (verdict.status, verdict.seen) == (Status.FAIL, "pml = ob1")
    assert "a login shell's environment says pml = ob1" in verdict.cause


def test_bin_and_usr_bin_are_one_where_bin_is_a_link():
    assert cluster().put(NODE, "login", "@path\n/bin/mpirun\n@env\n@end\n", rc=0).judge(NODE).status == Status.PASS


@pytest.mark.parametrize("way", ["login", "sudo"])
@pytest.mark.parametrize("answer", [Answer(why="missing"), Answer(why="deadline"), Answer("sorry\n", rc=1)])
def test_a_way_in_that_is_not_there_is_said_to_be_unseen(way, answer):
    it = cluster()
    it.seen[NODE][way] = answer
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["ways"][way]) == (Status.PASS, "not seen")


def test_a_rank_of_another_version_fails():
    it = cluster()
    it.seen[NODE]["rank"] = Answer(data={"mpi": "Open MPI v5.0.7, package: Open MPI"})
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "openmpi")
    assert "a rank that mpirun started here is of Open MPI v5.0.7" in verdict.cause


def test_a_rank_of_the_same_version_is_part_of_the_evidence():
    it = cluster()
    it.seen[NODE]["rank"] = Answer(data={"mpi": "Open MPI v4.1.4, package: Debian OpenMPI"})
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["rank"][:15]) == (Status.PASS, "Open MPI v4.1.4")


def test_where_mpirun_started_no_rank_that_is_a_warning():
    it = cluster()
    it.seen[NODE]["rank"] = Answer(why="failed", err="no rank started here: it never reported")
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.seen) == (Status.WARN, "4.1.4, but no rank")


def test_where_no_ranks_were_wanted_that_is_said():
    assert cluster().judge(NODE).evidence["rank"] == "not measured: not asked"
