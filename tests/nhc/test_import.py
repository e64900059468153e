"""nhc.conf becomes declared values; what cannot is said, line by line, and nothing is lost silently."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from ddlcheck import rules
from ddlcheck.checks import resources
from ddlcheck.declared import defaults
from ddlcheck.intent import Intent
from ddlcheck.nhc import hosts, lines
from ddlcheck.nhc.turn import expression


def one(check):
    """Return the values of one line for everybody."""
    found = hosts.load(f"* || {check}\n")
    assert found.left == []
    return found.everyone


def left(check, known=()):
    """Return why a line was not turned."""
    found = hosts.load(f"{check}\n", known)
    assert (found.everyone, found.turned) == ({}, 0)
    ((_, text, reason),) = found.left
    assert text == check
    return reason


def fs(**fields):
    return {"resources_filesystems": [fields]}


@pytest.mark.parametrize(("check", "values"), [
    ("check_hw_cpuinfo 2 12 24", {"resources_sockets": 2, "resources_cores": 12, "resources_threads": 24}),
    ("check_hw_physmem 1024 2mb", {"resources_memory_min": 1024, "resources_memory_max": 2048}),
    ("check_hw_physmem 32gb 32gb 5%", {"resources_memory_min": 31956601, "resources_memory_max": 35320455}),
    ("check_hw_physmem 10k 20k 5k", {"resources_memory_min": 5, "resources_memory_max": 25}),
    ("check_hw_physmem_free 1MB", {"resources_memory_free_min": 1024}),
    ("check_hw_swap_free 1g", {"resources_swap_free_min": 1 << 20}),
    ("check_hw_swap 8g", {"resources_swap_min": 8 << 20}),
    ("check_hw_eth eth1", {"resources_interfaces": ["eth1"]}),
    ("check_fs_mount_rw -f /", fs(path="/", mounted=True, options=["rw"])),
    ("check_fs_mount_ro -t iso9660 -f /cd", fs(path="/cd", mounted=True, type="iso9660", options=["ro"])),
    ("check_fs_mount /home srv:/home nfs", fs(path="/home", mounted=True, source="srv:/home", type="nfs")),
    ("check_fs_mount -s srv:/h -t nfs -o '/(^|,)vers=3(,|$)/' -f /h", fs(path="/h", mounted=True, source="srv:/h", type="nfs", options=["vers=3"])),
    ("check_fs_mount_rw -f /a -f /b", {"resources_filesystems": [{"path": p, "mounted": True, "options": ["rw"]} for p in ("/a", "/b")]}),
    ("check_fs_free / 3%", fs(path="/", free_min="3%")),
    ("check_fs_free /tmp 30GB", fs(path="/tmp", free_min=30 << 20)),
    ("check_fs_used /var 90%", fs(path="/var", used_max="90%")),
    ("check_fs_size /scratch 1t 2t", fs(path="/scratch", size_min=1 << 30, size_max=2 << 30)),
    ("check_fs_ifree / 1k", fs(path="/", inodes_free_min=1000)),
    ("check_ps_service sshd", {"resources_services": ["sshd"]}),
    ("check_file_test -f -s /etc/passwd", {"resources_files": [{"path": "/etc/passwd", "kind": "file", "size_min": 1}]}),
    ("check_file_stat -m 0666 -u 0 -g 0 /dev/null", {"resources_files": [{"path": "/dev/null", "mode": "0666", "uid": "0", "gid": "0"}]}),
    ("check_cmd_status -r 3 systemctl is-active x", {"resources_commands": [{"run": ["systemctl", "is-active", "x"], "status": 3}]}),
    ("check_cmd_output uname", {"resources_commands": [{"run": ["uname"]}]}),
    ("export NHC_RM=pbs", {"health_gate_scheduler": "pbs"}),
    ("export MARK_OFFLINE=0", {"health_gate_drain": False}),
    ("TIMEOUT=15", {"health_gate_timeout": 15}),
])  # fmt: skip
def test_a_common_check_becomes_a_declared_value_that_is_understood(check, values):
    found = one(check)
    assert found == values
    assert rules.broken({**defaults(), **found}) is None
    resources.wants(Intent("n1", {**defaults(), **found}))


def test_a_port_of_infiniband_is_its_rate_and_both_its_states():
    (rate, state, physical) = one("check_hw_ib 100 mlx5_0")["resources_commands"]
    assert rate == {"run": ["cat", "/sys/class/infiniband/mlx5_0/ports/1/rate"], "output": ["100 Gb/sec"]}
    assert (state["output"], physical["output"]) == (["ACTIVE"], ["LinkUp"])


def test_what_a_command_has_to_say_is_looked_for_by_grep_and_its_own_status_counts():
    for check, codes in (
        ("check_cmd_output -m '/^hel+o$/' echo hello", 0), ("check_cmd_output -m '/nope/' echo hello", 1),
        ("check_cmd_output -m 'h*o' echo hello", 0), ("check_cmd_output -m 'hell' echo hello", 1),
        ("check_cmd_output -m '*' sh -c 'echo x; exit 4'", 4), ("check_file_contents /etc/passwd '/^root:/'", 0),
        ("check_file_contents /etc/passwd 'nobody-at-all*'", 1),
    ):  # fmt: skip
        (entry,) = one(check)["resources_commands"]
        assert subprocess.run(entry["run"], capture_output=True, check=False).returncode == codes, check


@pytest.mark.parametrize(("line", "why"), [
    ("* || check_hw_mem_free 1mb", "memory and swap apart"), ("* || check_ps_loadavg 24", "no promise is like check_ps_loadavg"),
    ("* || check_nvsmi_healthmon", "GPUs"), ("* || export DEBUG=1", "a setting of NHC itself"), ("* || export TIMEOUT=500", "NHC itself"),
    ("* || export NHC_RM=sge", "NHC itself"), ("* || [[ -e /x ]] && check_fs_free / 1%", "the shell would work on it"),
    ("* || check_fs_free $X 1%", "the shell would work on it"), ("* || check_fs_free `x` 1%", "the shell"), ('* || check_fs_free "$X" 1%', "the shell"),
    ("* || check_fs_free / 'oops", "quotes do not match"), ("* || check_fs_free / lots", "cannot be read"), ("* || check_fs_free /", "cannot be read"),
    ("* || check_fs_mount -t '/(none|devpts)/' -f /dev/pts", "its type is a pattern"), ("* || check_fs_mount -f", "requires argument"),
    ("* || check_fs_mount -0 -f /x", "never fails"), ("* || check_fs_mount -o '!*nosuid*' -f /x", "options are a pattern"),
    ("* || check_file_test -! -e /x", "negated"), ("* || check_file_stat -n 7200 /var/log/messages", "nothing of it can be declared"),
    ("* || check_cmd_output -m '!*bad*' dmesg", "not to be said"), ("* || check_ps_service -k bad", "never fails"),
    ("* || check_hw_ib 40", "any device"), ("* || check_hw_swap 0 0", "cannot be declared"), ("* || check_cmd_status echo '{{ x }}'", "template"),
    ("no bars at all", "not of the form"), ("* ||", "not of the form"), ("gpu* || check_fs_free / 1%", "--inventory"),
    ("/[/ || check_fs_free / 1%", "regular expression"), ("@prog || check_fs_free / 1%", "found by a program"), ("{a[x-y]} || check_fs_free / 1%", "range"),
    ("* || ! check_fs_free / 1%", "negated"),
])  # fmt: skip
def test_what_cannot_be_turned_is_listed_with_its_reason(line, why):
    assert why in left(line)


def test_comments_and_empty_lines_are_nothing():
    assert hosts.load("\n  # x || y\n\t\n") == hosts.Imported()


def test_what_is_lost_of_a_line_that_is_turned_is_listed_too():
    found = hosts.load("* || check_ps_service -u root -S sshd\n* || check_ps_daemon wulfd root\n")
    assert [number for number, _, _ in found.part] == [1, 2]
    assert "starts and stops nothing" in found.part[0][2]
    assert found.everyone == {"resources_services": ["sshd", "wulfd"]}


def test_entries_of_one_path_become_one_and_contradictions_stay_two():
    found = one("check_fs_mount_rw -f /")
    both = hosts.load("* || check_fs_mount_rw -f /\n* || check_fs_free / 3%\n* || check_fs_free / 5%\n").everyone
    assert both["resources_filesystems"] == [
        {**found["resources_filesystems"][0], "free_min": "3%"},
        {"path": "/", "free_min": "5%"},
    ]


def test_a_number_said_twice_is_said_once_and_the_other_line_is_listed():
    found = hosts.load("* || check_hw_cpuinfo 2 4 8\n* || check_hw_cpuinfo 2 4 16\n")
    assert (found.everyone["resources_threads"], found.turned) == (8, 1)
    assert found.left[0][0] == 2
    assert "is 8 already" in found.left[0][2]


@pytest.mark.parametrize(("target", "names"), [
    ("{n[00-02,7],login}", ["n00", "n01", "n02", "n7", "login"]), ("{a[1-2]b[3-4]}", ["a1b3", "a1b4", "a2b3", "a2b4"]),
    ("n1.example.org", ["n1.example.org"]), ("n*", []), ("/^n/", []), ("*", []),
])  # fmt: skip
def test_hosts_that_are_spelled_out_are_known(target, names):
    assert lines.listed(target) == names


@pytest.mark.parametrize(("target", "host", "means"), [
    ("*", "n1", True), ("n?", "n1", True), ("n?", "n10", False), ("/n1/", "xn10", True), ("/^n1$/", "n10", False),
    ("!n1", "n1", False), ("!/^n/", "x", True), ("{n[1-3]}", "n2", True), ("{n[1-3]}", "n4", False),
])  # fmt: skip
def test_a_target_means_what_it_means_to_nhc(target, host, means):
    assert lines.matches(target, host) is means


CONF = """
* || check_fs_free / 3%
{gpu[01-02]} || check_ps_service nvidia-persistenced
!{gpu[01-02]} || check_ps_service nfs-server
/^login/ || check_fs_free /home 1%
"""


def test_a_host_gets_all_the_lines_that_mean_it_and_lists_are_whole():
    found = hosts.load(CONF, ["gpu01", "gpu02", "login1", "n1"])
    assert found.left == []
    assert found.hosts["gpu01"] == {
        "resources_filesystems": [{"path": "/", "free_min": "3%"}],
        "resources_services": ["nvidia-persistenced"],
    }
    assert found.hosts["login1"]["resources_filesystems"] == [
        {"path": "/", "free_min": "3%"},
        {"path": "/home", "free_min": "1%"},
    ]
    assert found.hosts["n1"]["resources_services"] == ["nfs-server"]


def test_without_an_inventory_a_pattern_is_listed_and_said():
    assert [number for number, _, _ in hosts.load(CONF).left] == [4, 5]


def test_a_pattern_that_means_no_host_is_said():
    assert "no known host" in hosts.load("zz* || check_fs_free / 1%\n", ["n1"]).left[0][2]


def test_what_is_written_is_an_inventory_that_ansible_reads(tmp_path):
    from ddlcheck import inventory

    path = tmp_path / "hosts.yml"
    path.write_text(hosts.render(hosts.load(CONF + "* || check_cmd_output -m '/a: \"b\"#/' echo x\n", ["gpu01", "n1"])))
    assert set(yaml.safe_load(path.read_text())["all"]) == {"vars", "hosts"}
    found = inventory.load(str(path)).intents
    assert found["gpu01"]["resources_services"] == ["nvidia-persistenced"]
    assert found["n1"]["resources_commands"][0]["run"][4] == 'a: "b"#'


def test_every_line_of_a_file_is_accounted_for(tmp_path):
    conf = tmp_path / "nhc.conf"
    conf.write_text(CONF + "* || check_moab_rm\n")
    done = subprocess.run(
        [sys.executable, "-m", "ddlcheck", "import-nhc", str(conf)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"{conf}:6: not turned: * || check_moab_rm" in done.stderr
    assert done.stderr.endswith("2 lines turned, 0 of them in part; 3 not\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/nowhere"], "No such file"),
        (["/dev/null", "-i", "/nowhere"], "no such inventory"),
        (["/dev/null"], "holds no check"),
        ([], "required"),
    ],
)
def test_bad_usage_is_one_sentence(words, says):
    done = subprocess.run(
        [sys.executable, "-m", "ddlcheck", "import-nhc", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


def test_a_glob_is_a_whole_line_and_a_regular_expression_a_part():
    assert (expression("a.b*"), expression("/a.b/")) == ("^a\\.b.*$", "a.b")
