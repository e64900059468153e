"""Locked memory: judged by the processes that have it, explained by the files."""

from __future__ import annotations

import pytest

from ddlcheck.errors import NotSeen
from ddlcheck.judging import limits
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer
from tests.checks.machine import GARBAGE, Cluster

NODE = "minsky2"
RULES = "/etc/security/limits.d/"
OURS = f"{RULES}95-ddl-memlock.conf"
LOW = "Limit Soft Hard Units\nMax locked memory         65536                65536                bytes\n"
HIGH = "Limit Soft Hard Units\nMax locked memory         8388608              8388608              bytes\n"
NO_RAISE = "CapBnd:\t00000000fcecffff\n"
RAISE = "CapBnd:\t000001ffffffffff\n"


def cluster(**values):
    return Cluster("memlock", **values)


def session(it, soft, hard=None, user="admin"):
    return it.put(NODE, "session", data={"soft": soft, "hard": hard or soft, "user": user, "noise": ""})


def test_a_machine_as_the_role_left_it_keeps_the_promise():
    verdict = cluster().judge(NODE)
    assert (verdict.status, verdict.seen, verdict.remedy) == (Status.PASS, "8192 KiB", "")
    assert verdict.evidence["ssh session"] == {"soft": "8192", "hard": "8192"}
    assert verdict.evidence["ssh.service"]["soft"] == "8192"


def test_a_machine_from_the_rack_fails_and_no_file_is_named_that_does_not_exist():
    verdict = Cluster("memlock", "rack").judge(NODE)
    assert (verdict.status, verdict.remedy) == (Status.FAIL, "memlock")
    assert "no file of limits.d sets memlock for admin" in verdict.cause
    assert verdict.evidence["low"] == ["ssh session", "login shell", "ssh.service"]


def test_a_rank_that_was_not_measured_is_said_and_held_against_nobody():
    verdict = cluster().judge(NODE)
    assert verdict.status == Status.PASS
    assert verdict.evidence["rank"].startswith("not measured")


def test_a_rank_with_less_than_its_session_fails_whatever_the_files_say():
    it = cluster().put(NODE, "rank", data={"memlock_soft": "64", "memlock_hard": "64", "host": "ib2", "mpi": "4.1.4"})
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["low"]) == (Status.FAIL, ["rank"])
    assert "restart" in verdict.cause


def test_a_rank_with_enough_is_part_of_the_evidence():
    it = cluster().put(NODE, "rank", data={"memlock_soft": "unlimited", "memlock_hard": "unlimited", "host": "ib2"})
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["rank"]["soft"]) == (Status.PASS, "unlimited")


def test_a_rank_that_answers_nonsense_is_unknown_not_fine():
    it = cluster().put(NODE, "rank", data={"memlock_soft": "lots", "memlock_hard": None})
    assert it.judge(NODE).status == Status.UNKNOWN


@pytest.mark.parametrize("have", ["8192", "8193", "unlimited", "67108864"])
def test_at_least_the_declared_limit_is_enough(have):
    assert session(cluster(), have).judge(NODE).status == Status.PASS


@pytest.mark.parametrize("have", ["64", "8191", "0"])
def test_less_than_the_declared_limit_fails(have):
    verdict = session(cluster(), have).judge(NODE)
    assert (verdict.status, verdict.evidence["low"]) == (Status.FAIL, ["ssh session"])


def test_a_number_is_less_than_unlimited():
    it = cluster(memlock_limit="unlimited")
    assert it.judge(NODE).status == Status.FAIL


def test_bytes_of_proc_are_not_taken_for_kib():
    it = cluster().put(NODE, "daemons", data={"slurmd.service": LOW})
    verdict = it.judge(NODE)
    assert verdict.evidence["slurmd.service"]["soft"] == "64"
    assert (verdict.status, verdict.evidence["low"]) == (Status.FAIL, ["slurmd.service"])
    assert "no drop-in" in verdict.cause or "slurmd.service" in verdict.cause


def test_a_node_without_systemd_has_no_units_to_ask_and_says_so():
    it = cluster().put(NODE, "daemons", why="missing")
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.evidence["daemons"]) == (Status.PASS, "no systemd")


def test_daemons_that_could_not_be_asked_are_unknown():
    assert cluster().put(NODE, "daemons", why="deadline").judge(NODE).status == Status.UNKNOWN


def test_the_login_shell_of_the_job_user_counts_even_when_the_session_is_fine():
    verdict = cluster().put(NODE, "login", "64\n64\n", rc=0).judge(NODE)
    assert (verdict.status, verdict.evidence["low"]) == (Status.FAIL, ["login shell"])


def test_what_a_profile_prints_before_the_limits_is_not_taken_for_one():
    assert cluster().put(NODE, "login", "Welcome\n8192\n8192\n", rc=0).judge(NODE).status == Status.PASS


def test_without_a_job_user_no_login_is_asked_for():
    it = cluster(ssh_mesh_user="")
    assert "login" not in it.check.wants(it.intents[NODE])
    it.seen[NODE].pop("login")
    assert it.judge(NODE).status == Status.PASS


# Causes


def test_a_later_file_is_named_with_its_line():
    it = session(cluster(), "64").edit(NODE, "limits", f"{RULES}zz-site.conf", "# site\n* - memlock 64\n")
    verdict = it.judge(NODE)
    assert "zz-site.conf line 2" in verdict.cause
    assert verdict.remedy == "memlock"


def test_an_earlier_file_is_not_blamed():
    it = session(cluster(), "64").edit(NODE, "limits", f"{RULES}10-site.conf", "* - memlock 64\n")
    assert "10-site" not in it.judge(NODE).cause


def test_a_rule_for_the_user_beats_a_later_one_for_everybody():
    it = session(cluster(), "64").edit(NODE, "limits", f"{RULES}10-site.conf", "admin - memlock 64\n")
    assert "10-site.conf line 1 (admin" in it.judge(NODE).cause


def test_star_is_said_not_to_apply_to_root():
    it = session(cluster(), "64", user="root").edit(NODE, "limits", OURS, "* - memlock unlimited\n")
    assert "does not apply to root" in it.judge(NODE).cause


def test_soft_without_hard_is_named():
    it = session(cluster(), "64").edit(NODE, "limits", OURS, "* soft memlock unlimited\n")
    assert "soft without hard" in it.judge(NODE).cause


def test_hard_without_soft_is_named():
    it = session(cluster(), "64", "unlimited").edit(NODE, "limits", OURS, "* hard memlock unlimited\n")
    assert "hard without soft" in it.judge(NODE).cause


def test_a_group_rule_with_the_value_seen_is_suspected():
    it = session(cluster(), "64").edit(NODE, "limits", f"{RULES}20-hpc.conf", "@students - memlock 64\n")
    assert "20-hpc.conf line 1 (@students)" in it.judge(NODE).cause


def test_use_pam_no_is_named_before_anything_else():
    it = session(cluster(), "64").edit(NODE, "sshd", "/etc/ssh/sshd_config", "UsePAM no\n")
    assert "/etc/ssh/sshd_config says UsePAM no" in it.judge(NODE).cause


def test_the_first_word_on_use_pam_wins():
    it = session(cluster(), "64").edit(NODE, "sshd", "/etc/ssh/sshd_config", "UsePAM no\n")
    it.edit(NODE, "sshd", "/etc/ssh/sshd_config.d/10.conf", "UsePAM yes\n")
    assert "UsePAM" not in it.judge(NODE).cause


def test_pam_limits_commented_out_is_missing():
    it = session(cluster(), "64")
    stack = it.seen[NODE]["pam"].data["/etc/pam.d/sshd"]
    it.edit(NODE, "pam", "/etc/pam.d/sshd", stack.replace("session    required     pam_limits.so", "# gone"))
    assert "pam_limits is missing" in it.judge(NODE).cause


def test_pam_limits_may_come_from_an_included_stack():
    files = {
        "/etc/pam.d/sshd": "session include password-auth\n",
        "/etc/pam.d/password-auth": "-session required pam_limits.so\n",
    }
    assert limits._pam_limits(files, "sshd")


def test_stacks_that_include_each_other_end():
    assert not limits._pam_limits({"/etc/pam.d/sshd": "@include sshd\n"}, "sshd")


def test_a_daemon_older_than_its_drop_in_is_to_be_restarted():
    verdict = cluster().put(NODE, "daemons", data={"ssh.service": LOW}).judge(NODE)
    assert "ssh.service runs with a limit older than" in verdict.cause
    assert "95-ddl-memlock.conf" in verdict.cause


def test_the_last_drop_in_of_a_unit_is_the_one_named():
    path = "/etc/systemd/system/ssh.service.d/99-site.conf"
    it = (
        cluster()
        .put(NODE, "daemons", data={"ssh.service": LOW})
        .edit(NODE, "units", path, "[Service]\nLimitMEMLOCK=64K\n")
    )
    assert "99-site.conf limits ssh.service to 64 KiB" in it.judge(NODE).cause


def test_a_machine_that_cannot_raise_limits_is_said_to_be_one():
    it = session(cluster(), "64").put(NODE, "init", NO_RAISE).put(NODE, "login", "64\n64\n", rc=0)
    verdict = it.put(NODE, "daemons", why="missing").judge(NODE)
    assert "CAP_SYS_RESOURCE" in verdict.cause
    assert verdict.remedy == "inspect"


def test_a_machine_where_some_process_has_enough_can_raise_it():
    verdict = session(cluster(), "64").put(NODE, "init", NO_RAISE).judge(NODE)
    assert "CAP_SYS_RESOURCE" not in verdict.cause
    assert (
        "a container"
        not in cluster().put(NODE, "init", NO_RAISE).put(NODE, "daemons", data={"ssh.service": LOW}).judge(NODE).cause
    )


@pytest.mark.parametrize("init", [RAISE, NO_RAISE])
def test_a_login_shell_alone_below_its_session_is_a_profile_s_doing(init):
    verdict = cluster().put(NODE, "login", "64\n64\n", rc=0).put(NODE, "init", init).judge(NODE)
    assert verdict.cause == "a profile of ddl (~/.profile, ~/.bash_profile, /etc/profile.d) lowers it"
    assert verdict.remedy == "inspect"


def test_a_rule_for_the_job_user_explains_a_low_login_shell_before_a_profile_does():
    it = cluster().put(NODE, "login", "64\n64\n", rc=0).edit(NODE, "limits", f"{RULES}zz.conf", "ddl - memlock 64\n")
    assert "zz.conf line 1 (ddl" in it.judge(NODE).cause


def test_a_job_user_who_is_not_there_is_unknown_with_that_cause():
    err = "su: user ddl does not exist or the user entry does not contain all the required fields\n"
    verdict = cluster().put(NODE, "login", "", rc=1, err=err).judge(NODE)
    assert (verdict.status, verdict.cause) == (Status.UNKNOWN, f"there is no user ddl on {NODE}")
    assert verdict.remedy == "inventory"


def test_a_job_user_without_a_shell_is_unknown_with_that_cause():
    entry = "ddl:x:1001:1001::/home/ddl:/usr/sbin/nologin\n@home\n@shell\n@end\n"
    it = (
        cluster()
        .put(NODE, "login", "This account is currently not available.\n", rc=1)
        .put(NODE, "account", entry, rc=0)
    )
    verdict = it.judge(NODE)
    assert verdict.status == Status.UNKNOWN
    assert "shell is /usr/sbin/nologin" in verdict.cause


def test_a_profile_that_exits_before_the_limits_are_asked_is_unknown_with_that_cause():
    verdict = cluster().put(NODE, "login", "", rc=0).judge(NODE)
    assert (verdict.status, verdict.cause) == (
        Status.UNKNOWN, "the session ended before the command: a profile of ddl exits",
    )  # fmt: skip


def test_an_expired_account_is_unknown_with_that_cause():
    it = cluster().put(NODE, "login", "", rc=1, err="Your account has expired; please contact your administrator.\n")
    assert it.judge(NODE).cause == f"the account of ddl has expired on {NODE}"


def test_who_may_not_become_the_job_user_is_told_so():
    """Captured: `ddlcheck-node --now` of an ordinary user on Debian 12."""
    it = cluster().put(NODE, "login", "", rc=1, err="Password: su: Authentication failure\n")
    verdict = it.judge(NODE)
    assert (verdict.status, verdict.cause) == (
        Status.UNKNOWN,
        "only root can open a session of ddl without a password: ask as root",
    )


def test_a_session_older_than_the_files_is_to_be_opened_anew():
    verdict = session(cluster(), "64").put(NODE, "init", RAISE).judge(NODE)
    assert verdict.remedy == "reconnect"
    assert "ControlMaster" in verdict.cause


def test_files_that_cannot_be_read_leave_the_verdict_as_it_is():
    it = session(cluster(), "64")
    for want in ("limits", "pam", "sshd", "units"):
        it.put(NODE, want, why="denied")
    assert it.judge(NODE).status == Status.FAIL


@pytest.mark.parametrize(
    ("text", "kib"),
    [("64K", 64), ("8M", 8192), ("1G:2G", 1 << 20), ("infinity", float("inf")), ("8388608", 8192), ('"64K"', 64)],
)
def test_systemd_s_sizes_are_bytes(text, kib):
    assert limits.systemd_kib(text) == kib


@pytest.mark.parametrize("text", ["", "lots", "64Q", "-1", "9" * 40, "٤K"])
def test_what_is_no_size_is_none(text):
    assert limits.systemd_kib(text) is None


def test_limits_conf_is_read_before_limits_d():
    files = {f"{RULES}a.conf": "* - memlock 2\n", "/etc/security/limits.conf": "* - memlock 1\n"}
    assert [rule.value for rule in limits.rules(files)] == ["1", "2"]


def test_lines_on_other_limits_and_comments_are_no_rules():
    assert limits.rules({"x": "# * - memlock 64\n* - nofile 64\n* hard memlock\n* both memlock 1\n"}) == []


@pytest.mark.parametrize("word", ["", "12x", "-1", "1" * 19, "٣", None, 3.5])
def test_what_is_no_limit_is_refused(word):
    with pytest.raises(NotSeen):
        limits.shown(word)


@pytest.mark.parametrize("want", ["session", "daemons", "login"])
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(want, answer):
    it = cluster()
    it.seen[NODE][want] = answer
    allowed = {Status.PASS} if want == "daemons" and (answer.why == "missing" or answer.data == {}) else set()
    assert it.judge(NODE).status in {Status.UNKNOWN, Status.FAIL} | allowed


def test_a_truncated_line_of_proc_is_not_a_limit():
    it = cluster().put(NODE, "daemons", data={"ssh.service": "Max locked memory   8388608"})
    assert it.judge(NODE).status == Status.UNKNOWN


def test_evidence_is_json():
    assert cluster().judge(NODE).to_json()
    assert Answer.from_json({"text": 3}).why == "failed"
