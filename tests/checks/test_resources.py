"""The promise `resources`, judged on what this very machine says, and on what others would."""

from __future__ import annotations

import pathlib

import pytest

from ddlcheck import rules
from ddlcheck.checks import resources
from ddlcheck.declared import defaults
from ddlcheck.intent import Intent
from ddlcheck.judging import one
from ddlcheck.probes import quick
from ddlcheck.verdict import Status
from ddlcheck.wants import Answer, slow
from tests.checks.machine import GARBAGE

#: `cat /proc/meminfo` of a node with 512 GiB, cut to what is read.
MEMINFO = "MemTotal:       527990224 kB\nMemFree:         1000 kB\nMemAvailable:   500000000 kB\nSwapTotal:       0 kB\nSwapFree:        0 kB\n"
SPACE = {"size": 1000, "free": 100, "used": 900, "files": 10, "files_free": 1, "at": "/scratch", "source": "/dev/nvme0n1p1", "type": "xfs", "options": "rw,noatime"}  # fmt: skip
FILE = {"kind": "file", "link": False, "mode": "0644", "uid": 0, "gid": 0, "size": 10, "mtime": 1.0}
GOOD = {
    "processors": Answer(data={"sockets": 2, "cores": 32, "threads": 128}),
    "memory": Answer(MEMINFO),
    "filesystems": Answer(data={"/scratch": SPACE}),
    "interfaces": Answer(data={"/sys/class/net/ib0/operstate": "up\n"}),
    "services": Answer(data={"slurmd.service": "slurmd\n"}),
    "files": Answer(data={"/etc/munge/munge.key": FILE}),
    "command 0": Answer("Driver Version: 550.54\n", rc=0),
}
DECLARED = {
    "resources_sockets": 2, "resources_cores": 32, "resources_threads": 128, "resources_memory_min": 520000000,
    "resources_filesystems": [{"path": "/scratch", "type": "xfs", "options": ["rw"], "free_min": "5%"}],
    "resources_interfaces": ["ib0"], "resources_services": ["slurmd"],
    "resources_files": [{"path": "/etc/munge/munge.key", "mode": "644", "uid": 0}],
    "resources_commands": [{"run": ["nvidia-smi"], "output": ["550.54"]}],
}  # fmt: skip


def judge(declared=None, **answers):
    intent = Intent("n1", {**defaults(), **(DECLARED if declared is None else declared)})
    seen = {name: answers.get(name, GOOD[name]) for name in resources.wants(intent)}
    return one.judge("resources", resources, "n1", seen, intent)


def test_what_is_as_declared_is_kept():
    assert judge().status is Status.PASS


def test_nothing_declared_is_not_judged_and_says_so():
    verdict = judge({})
    assert (verdict.status, "nothing declared" in verdict.seen) == (Status.SKIP, True)


def test_only_what_is_declared_is_looked_at():
    assert list(resources.wants(Intent("n1", {**defaults(), "resources_services": ["sshd"]}))) == ["services"]


def test_only_commands_wait_for_the_background_tier():
    wants = resources.wants(Intent("n1", {**defaults(), **DECLARED}))
    assert [name for name, want in wants.items() if slow(want)] == ["command 0"]


def with_space(**more):
    return Answer(data={"/scratch": {**SPACE, **more}})


@pytest.mark.parametrize(("name", "answer", "cause"), [
    ("processors", Answer(data={"sockets": 1, "cores": 32, "threads": 128}), "1 sockets are online, declared are 2"),
    ("processors", Answer(data={"sockets": 2, "cores": 32, "threads": 64}), "64 threads are online, declared are 128"),
    ("memory", Answer(MEMINFO.replace("527990224", "461373000")), "less than the declared 520000000"),
    ("filesystems", with_space(at="/"), "nothing is mounted at /scratch"),
    ("filesystems", with_space(type="ext4"), "has type ext4, declared is xfs"),
    ("filesystems", with_space(options="ro,noatime"), "is mounted without rw"),
    ("filesystems", with_space(free=49), "free 49 KiB, declared free_min is 5%"),
    ("filesystems", Answer(data={"/scratch": {"why": "hung", "err": "no answer within 3 s"}}), "/scratch hangs"),
    ("filesystems", Answer(data={"/scratch": {"why": "missing", "err": "x"}}), "there is no /scratch"),
    ("interfaces", Answer(data={"/sys/class/net/ib0/operstate": "down\n"}), "ib0 is down"),
    ("interfaces", Answer(data={}), "there is no interface ib0"),
    ("services", Answer(data={}), "no process of slurmd.service runs"),
    ("files", Answer(data={"/etc/munge/munge.key": {"why": "missing", "err": "x"}}), "there is no /etc/munge/munge.key"),
    ("files", Answer(data={"/etc/munge/munge.key": {**FILE, "mode": "0666"}}), "has mode 0666, declared is 644"),
    ("files", Answer(data={"/etc/munge/munge.key": {**FILE, "uid": 1000}}), "has uid 1000, declared is 0"),
    ("command 0", Answer("Driver Version: 470", rc=0), "does not say '550.54'"),
    ("command 0", Answer("", rc=9, err="no devices"), "ended with 9, declared is 0: no devices"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_what_is_not_as_declared_is_named(name, answer, cause):
    verdict = judge(**{name: answer})
    assert verdict.status is Status.FAIL
    assert cause in verdict.cause


def test_all_troubles_are_said_not_only_the_first():
    verdict = judge(services=Answer(data={}), interfaces=Answer(data={}))
    assert len(verdict.evidence["troubles"]) == 2


@pytest.mark.parametrize("want", list(GOOD))
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_a_pass(want, answer):
    assert judge(**{want: answer}).status is not Status.PASS


def test_what_may_not_be_seen_is_unknown():
    assert judge(files=Answer(data={"/etc/munge/munge.key": {"why": "denied", "err": "x"}})).status is Status.UNKNOWN


@pytest.mark.parametrize(("variable", "value"), [
    ("resources_filesystems", [{"type": "xfs"}]), ("resources_filesystems", [{"path": "scratch"}]),
    ("resources_filesystems", [{"path": "/s", "free": "5%"}]), ("resources_filesystems", [{"path": "/s", "free_min": "five"}]),
    ("resources_interfaces", ["../eth0"]), ("resources_services", "sshd"), ("resources_files", [{"path": "/x", "mode": "rw"}]),
    ("resources_commands", [{"run": []}]), ("resources_commands", [{"run": "nvidia-smi"}]), ("resources_cores", -1), ("resources_memory_min", "many"),
])  # fmt: skip
def test_a_value_that_cannot_be_meant_is_refused(variable, value):
    assert rules.broken({**defaults(), variable: value})[0] == variable


def test_what_may_be_declared_may_be_declared():
    assert rules.broken({**defaults(), **DECLARED}) is None


def test_processors_are_counted_as_lscpu_counts_them(tmp_path, monkeypatch):
    """Two sockets of two cores of two threads, one thread offline, as Linux lays them out."""
    for cpu in range(8):
        place = tmp_path / f"cpu{cpu}" / "topology"
        place.mkdir(parents=True)
        socket, core = cpu % 4 // 2, cpu % 4
        members = [n for n in range(8) if n % 4 // 2 == socket and n != 7]
        (place / "package_cpus_list").write_text(",".join(map(str, members)) + "\n")
        (place / "core_cpus_list").write_text(",".join(str(n) for n in (core, core + 4) if n != 7) + "\n")
    (tmp_path / "online").write_text("0-6\n")
    monkeypatch.setattr(quick, "CPUS", str(tmp_path))
    assert quick.processors() == {"sockets": 2, "cores": 4, "threads": 7}


def test_a_mount_is_found_by_its_longest_beginning_and_the_last_one_is_on_top(monkeypatch):
    table = b"\nsrv:/home /home nfs4 rw 0 0\n/dev/sda1 / ext4 rw 0 0\ntmpfs /home/a\\040b tmpfs ro 0 0\n/dev/sdb1 /home xfs rw 0 0\n"
    monkeypatch.setattr(quick, "MOUNTS", [table])
    assert quick.mount_of("/home/x")["type"] == "xfs"
    assert quick.mount_of("/home/a b/c") == {"at": "/home/a b", "source": "tmpfs", "type": "tmpfs", "options": "ro"}
    assert quick.mount_of("/homes")["at"] == "/"


def test_this_machine_s_root_has_a_size_and_a_mount():
    found = quick.space_of("/")
    assert found["at"] == "/"
    assert found["size"] >= found["used"] > 0
    assert quick.stat_of("/etc/passwd")["kind"] == "file"
    assert pathlib.Path("/").is_mount()
