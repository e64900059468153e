"""The mesh: who cannot reach whom, why, and which node is to be looked at."""

from __future__ import annotations

import pytest

from ddlcheck.judging import edges
from ddlcheck.verdict import Status
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"
OK = {"rc": 0, "out": f"{edges.MARK}\n", "err": "", "ms": 1.0}
# OpenSSH 9.2's own words, seen on the practice cluster.
SAYS = {
    "refused": "ssh: connect to host ib2 port 22: Connection refused\r\n",
    "no route": "ssh: connect to host ib2 port 22: No route to host\r\n",
    "timeout": "ssh: connect to host ib2 port 22: Connection timed out\r\n",
    "name": "ssh: Could not resolve hostname ib2: Temporary failure in name resolution\r\n",
    "host key unknown": "No ED25519 host key is known for ib2 and you have requested strict checking.\r\nHost key verification failed.\r\n",
    "host key changed": "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key verification failed.\r\n",
    "key refused": "ddl@ib2: Permission denied (publickey,password).\r\n",
    "kex closed": "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.88.3.2 port 22\r\n",
    "closed": "Connection closed by 10.88.3.2 port 22\r\n",
}


class Mesh(Cluster):
    """A cluster whose good pairs are left out of what is said of the bad ones."""

    def broken(self):
        return [v for v in self.together() if v.status != Status.PASS]


def cluster(**values):
    return Mesh("ssh_mesh", **values)


def only(it, *nodes):
    """Leave these nodes, as if the others had not answered."""
    for node in set(it.seen) - set(nodes):
        del it.seen[node], it.intents[node]
    return it


def say(it, source, target, err="", *, rc=255, out=""):
    it.seen[source]["edges"].data[it.intents[target].mpi_name] = {"rc": rc, "out": out, "err": err, "ms": 1.0}
    return it


def entry(it, node, shell="/bin/bash", words=("@home", "@shell")):
    lines = [f"ddl:x:1001:1001::/home/ddl:{shell}", *words, "@end"]
    return it.put(node, "account", "".join(f"{line}\n" for line in lines), rc=0)


def fail(it, source, target, reason):
    name = it.intents[target].mpi_name
    it.seen[source]["edges"].data[name] = {"rc": 255, "out": "", "err": SAYS[reason], "ms": 1.0}
    return it


def everywhere(it, reason, *, source=None, target=None):
    for a in it.seen:
        for b in it.seen:
            if a != b and source in (None, a) and target in (None, b):
                fail(it, a, b, reason)
    return it


def test_every_ordered_pair_of_a_ready_cluster_was_tried():
    (verdict,) = cluster().together()
    assert (verdict.status, verdict.evidence["pairs"], verdict.evidence["of"]) == (Status.PASS, 12, 12)
    assert verdict.evidence["seed"] is None


def test_a_cluster_from_the_rack_resolves_no_peer():
    bad = Cluster("ssh_mesh", "rack").bad()
    assert {v.evidence["reason"] for v in bad} == {"name"}
    assert {v.remedy for v in bad} == {"hosts_file"}
    assert sorted(v.nodes[0] for v in bad) == ["minsky1", "minsky2", "minsky3", "minsky4"]


@pytest.mark.parametrize("reason", list(SAYS))
def test_the_client_s_words_are_classified(reason):
    assert edges.classify({"rc": 255, "out": "", "err": SAYS[reason]}).reason == reason


def test_a_late_attempt_is_a_timeout():
    assert edges.classify({"rc": None, "out": "", "err": "ssh ib2 not done after 10 s"}).reason == "timeout"


def test_a_missing_client_is_said_so():
    assert edges.classify({"why": "missing", "err": "No such file: ssh"}).reason == "no ssh"


def test_success_with_other_words_on_stdout_is_a_noisy_shell():
    failure = edges.classify({"rc": 0, "out": f"Welcome\n{edges.MARK}\n", "err": ""})
    assert (failure.reason, failure.remedy) == ("noisy shell", "inspect")


def test_a_banner_on_stderr_is_no_noise():
    assert edges.classify({**OK, "err": "Authorized use only\n"}) is None


@pytest.mark.parametrize(
    "got", [None, 3, [], {}, {"rc": "0", "out": f"{edges.MARK}\n"}, {"rc": False, "out": f"{edges.MARK}\n"}, {"rc": 0}]
)
def test_what_is_no_attempt_is_never_a_success(got):
    assert edges.classify(got) is not None


def test_a_target_that_nobody_reaches_is_named_once():
    (verdict,) = everywhere(cluster(), "refused", target=NODE).broken()
    assert (verdict.status, verdict.nodes, verdict.evidence["way"]) == (Status.FAIL, (NODE,), "from")
    assert verdict.evidence["count"] == 3
    assert "ListenAddress" in verdict.cause
    assert verdict.remedy == "inspect"


def test_a_source_that_reaches_nobody_is_named_once():
    (verdict,) = everywhere(cluster(), "key refused", source=NODE).broken()
    assert (verdict.nodes, verdict.evidence["way"], verdict.remedy) == ((NODE,), "to", "ssh_mesh")


def test_a_single_pair_is_blamed_on_the_end_its_reason_points_at():
    (verdict,) = fail(cluster(), "minsky1", NODE, "host key changed").broken()
    assert verdict.nodes == ("minsky1",)
    (verdict,) = fail(cluster(), "minsky1", NODE, "refused").broken()
    assert verdict.nodes == (NODE,)


def test_two_faults_are_two_verdicts():
    it = everywhere(everywhere(cluster(), "refused", target=NODE), "key refused", source="minsky4")
    fail(it, "minsky4", NODE, "key refused")
    assert sorted((v.nodes[0], v.evidence["reason"]) for v in it.broken()) == [
        ("minsky2", "refused"),
        ("minsky4", "key refused"),
    ]


def test_a_node_that_did_not_answer_us_is_not_held_against_the_others():
    it = everywhere(cluster(), "timeout", target=NODE)
    del it.seen[NODE], it.intents[NODE]
    (verdict,) = it.together()
    assert (verdict.status, verdict.evidence["pairs"]) == (Status.PASS, 6)


def test_a_private_key_that_is_gone_is_named():
    it = everywhere(cluster(), "key refused", source=NODE).put(NODE, "files", "755 ddl 4096 /home/ddl\n", rc=1)
    assert "no private key" in it.together()[0].cause


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ("777 ddl 4096 /home/ddl\n", "/home/ddl is writable by others (777)"),
        ("755 ddl 4096 /home/ddl\n600 ddl 0 /home/ddl/.ssh/authorized_keys\n", "authorized_keys is empty"),
        ("755 ddl 4096 /home/ddl\n700 ddl 4096 /home/ddl/.ssh\n", "no authorized_keys"),
        ("garbage", "key is refused"), ("", "key is refused"), ("x y z w\n", "no authorized_keys"),
    ],
)  # fmt: skip
def test_files_of_the_job_user_explain_a_refused_key(files, word):
    it = everywhere(cluster(), "key refused", target=NODE).put(NODE, "files", files)
    assert word in it.together()[0].cause


def test_what_the_login_printed_before_our_first_word_is_noise():
    it = cluster().put(NODE, "session", data={"soft": "1", "hard": "1", "user": "admin", "noise": "Welcome to HPC"})
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["noise"]) == (Status.FAIL, "Welcome to HPC")


def test_a_job_user_who_is_not_there_is_said_so():
    it = cluster().put(NODE, "edges", why="failed", err="KeyError: 'getpwnam(): name not found: 'ddl''")
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.seen) == (Status.FAIL, "no user ddl")


def test_without_privilege_the_mesh_is_unknown():
    it = cluster().put(NODE, "edges", why="denied", err="running as ddl needs privilege")
    assert it.judge(NODE).status == Status.UNKNOWN


def test_without_a_job_user_the_session_s_user_is_asked():
    it = cluster(ssh_mesh_user="")
    assert it.check.wants(it.intents[NODE])["edges"]["user"] == "@session"


def test_strict_checking_is_never_switched_off():
    it = cluster()
    argv = it.check.wants(it.intents[NODE])["edges"]["argv"]
    assert "StrictHostKeyChecking=yes" in argv
    assert argv.index("--") < argv.index("{}")


def test_up_to_64_nodes_every_pair_is_tried_and_nobody_starts_with_the_same_target():
    nodes = [f"n{i}" for i in range(64)]
    plans = [edges.targets(nodes, node) for node in nodes]
    assert all(len(set(plan)) == 63 and node not in plan for node, plan in zip(nodes, plans, strict=True))
    assert len({plan[0] for plan in plans}) == 64


def test_beyond_64_nodes_every_edge_of_the_tree_and_a_matching_is_tried():
    nodes = [f"n{i}" for i in range(256)]
    plans = {node: set(edges.targets(nodes, node)) for node in nodes}
    assert {f"n{i}" for i in range(1, 65)} <= plans["n0"]
    assert all(f"n{edges._parent(i)}" in plans[f"n{i}"] for i in range(1, 256))
    assert max(map(len, plans.values())) <= 66
    partners = [edges._matched(256, i) for i in range(256)]
    assert all(partners[next(iter(p))] == {i} for i, p in enumerate(partners))


@pytest.mark.parametrize(
    ("rank", "parent"), [(0, -1), (1, 0), (64, 0), (65, 1), (128, 64), (129, 1), (4160, 64), (4161, 65)]
)
def test_the_tree_is_open_mpi_s(rank, parent):
    assert edges._parent(rank) == parent


def test_of_an_odd_number_one_has_no_partner():
    assert sum(not edges._matched(65, i) for i in range(65)) == 1


def test_one_node_that_answered_has_no_pair_and_no_pass():
    it = only(cluster(), NODE)
    own, (together,) = it.judge(NODE), it.together()
    assert [(v.status, v.seen) for v in (own, together)] == [(Status.SKIP, "one node: no pair to judge")] * 2


def test_one_node_whose_every_attempt_fails_is_no_pass_either():
    it = only(everywhere(cluster(), "timeout"), NODE)
    assert {v.status for v in (it.judge(NODE), *it.together())} == {Status.SKIP}


def test_nodes_without_a_bad_pair_pass_beside_one_that_has():
    (good,) = [v for v in everywhere(cluster(), "refused", target=NODE).together() if v.status == Status.PASS]
    assert (good.nodes, good.seen) == (("minsky1", "minsky3", "minsky4"), "9 of 12 pairs")


# OpenSSH 9.2's own words on its configuration.
BAD_LINE = "/home/ddl/.ssh/config: line 3: Bad configuration option: prox\r\n/home/ddl/.ssh/config: terminating, 1 bad configuration options\r\n"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (BAD_LINE, "~/.ssh/config line 3 is bad on minsky1"),
        (
            "/home/ddl/.ssh/config line 2: Bad port 'abc'.\r\n/home/ddl/.ssh/config: terminating, 1 bad configuration options\r\n",
            "~/.ssh/config line 2 is bad on minsky1: Bad port 'abc'.",
        ),
        ("Bad owner or permissions on /home/ddl/.ssh/config\r\n", "~/.ssh/config is bad on minsky1: Bad owner"),
        ("/home/ddl/.ssh/config: terminating, 2 bad configuration options\r\n", "~/.ssh/config is bad on minsky1"),
        ("Can't open user config file /home/ddl/.ssh/config: Permission denied\r\n", "~/.ssh/config is bad on minsky1"),
        (
            "/etc/ssh/ssh_config: line 9: Bad configuration option: x\r\n",
            "/etc/ssh/ssh_config line 9 is bad on minsky1",
        ),
    ],
)
def test_a_bad_ssh_config_is_the_source_s_even_among_two(said, word):
    (verdict,) = say(only(cluster(), "minsky1", NODE), "minsky1", NODE, said).broken()
    assert (verdict.nodes, verdict.remedy) == (("minsky1",), "inspect")
    assert word in verdict.cause


@pytest.mark.parametrize("rc", [0, 1, 3])
def test_a_session_that_ends_before_the_command_is_not_said_to_print(rc):
    (verdict,) = say(cluster(), "minsky1", NODE, rc=rc).broken()
    assert (verdict.nodes, verdict.remedy) == ((NODE,), "inspect")
    assert "ended before the command: a profile of the job user exits" in verdict.cause


def test_what_a_profile_says_of_its_own_is_not_taken_for_ssh_s_words():
    failure = edges.classify({"rc": 1, "out": "", "err": "mkdir: /scratch: Permission denied\n"})
    assert (failure.reason, failure.side) == ("ended early", "target")


def test_a_shell_that_prints_more_than_is_kept_is_noisy():
    assert edges.classify({"rc": 0, "out": "x" * edges.CUT, "err": ""}).reason == "noisy shell"


@pytest.mark.parametrize("shell", ["/bin/false", "/usr/sbin/nologin"])
def test_a_shell_that_runs_nothing_is_named(shell):
    it = entry(say(only(cluster(), "minsky1", NODE), "minsky1", NODE, rc=1), NODE, shell)
    (verdict,) = it.broken()
    assert (verdict.nodes, verdict.remedy) == ((NODE,), "inspect")
    assert f"shell is {shell}" in verdict.cause


def test_a_shell_that_is_not_there_is_named():
    it = entry(fail(cluster(), "minsky1", NODE, "key refused"), NODE, "/bin/zsh", words=["@home"])
    assert "shell /bin/zsh is missing" in it.broken()[0].cause


def test_a_shell_that_runs_nothing_everywhere_is_held_against_each_as_a_target():
    it = cluster()
    for source in it.seen:
        entry(it, source, "/bin/false")
        for target in set(it.seen) - {source}:
            say(it, source, target, rc=1)
    assert {(v.nodes, v.evidence["way"]) for v in it.broken()} == {((node,), "from") for node in it.seen}


def test_an_expired_account_is_the_target_s():
    err = "Your account has expired; please contact your system administrator.\r\nConnection closed by 10.88.3.2 port 22\r\n"
    (verdict,) = say(cluster(), "minsky1", NODE, err).broken()
    assert (verdict.nodes, verdict.remedy) == ((NODE,), "inspect")
    assert "account has expired" in verdict.cause


@pytest.mark.parametrize("left", [2, 4])
def test_a_home_that_is_missing_is_named_on_that_node_only(left):
    it = everywhere(everywhere(cluster(), "host key unknown", source=NODE), "key refused", target=NODE)
    entry(only(it, *[NODE, "minsky1", "minsky3", "minsky4"][:left]), NODE, words=["@shell"])
    (verdict,) = it.broken()
    assert (verdict.nodes, verdict.remedy) == ((NODE,), "inspect")
    assert verdict.cause == "the home directory /home/ddl of the job user is missing"
    assert verdict.evidence["count"] == left - 1


def test_a_user_whom_the_attempts_do_not_find_is_missing_on_that_node_alone():
    it = everywhere(cluster(), "key refused", target=NODE)
    data = it.seen[NODE]["edges"].data
    data.update({name: {"why": "failed", "err": "KeyError: \"getpwnam(): name not found: 'ddl'\""} for name in data})
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.cause, verdict.remedy) == (
        Status.FAIL, f"there is no user ddl on {NODE}", "inventory",
    )  # fmt: skip
    assert it.broken() == []


@pytest.mark.parametrize("answer", GARBAGE)
def test_an_account_of_an_unknown_form_explains_nothing_and_breaks_nothing(answer):
    it = everywhere(cluster(), "key refused", target=NODE)
    it.seen[NODE]["account"] = answer
    assert [v.nodes for v in it.broken()] == [(NODE,)]


def test_one_node_alone_has_no_peers_and_no_verdict():
    assert edges.targets(["a"], "a") == []


def test_a_peer_that_was_not_tried_is_unknown():
    it = cluster()
    del it.seen[NODE]["edges"].data["ib4"]
    assert it.judge(NODE).status == Status.UNKNOWN


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(answer):
    it = cluster()
    it.seen[NODE]["edges"] = answer
    assert it.judge(NODE).status in (Status.UNKNOWN, Status.FAIL)
    assert all(v.status != Status.PASS or v.evidence["pairs"] < 12 for v in it.together())
