"""What can be judged of the lab without one: names, sizes, addresses, the inventory's text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from ddlcheck.errors import UsageError
from ddlcheck.lab import Lab, access, cgroups, cluster, host, image, network
from ddlcheck.lab.packages import Store


@pytest.mark.parametrize("name", ["", "a b", "Lab", "1lab", "lab-1", "../x", "-v", "abcdefghi", "läb", "lab\n"])
def test_a_name_that_cannot_be_an_interfaces_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="a lab cannot be called"):
        cluster.valid_name(name)


@pytest.mark.parametrize("name", ["a", "lab", "t1234567"])
def test_a_fair_name_is_taken(name: str) -> None:
    assert cluster.valid_name(name) == name


@pytest.mark.parametrize("size", [-1, 0, 65, 1000])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="a lab has 1 to 64 nodes"):
        cluster.valid_size(size)


def test_names_of_interfaces_fit_the_kernels_fifteen_characters() -> None:
    assert len(network.Network("abcdefgh", "10.88.0.0").leg) <= 15


def test_both_networks_come_from_the_labs_block() -> None:
    net = network.Network("lab", "10.88.6.0")
    assert (net.address("eth0", 3), net.address("ib0", 3)) == ("10.88.6.3", "10.88.7.3")


def test_a_free_block_avoids_addresses_routes_and_other_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "address": '[{"addr_info": [{"local": "10.88.1.7", "prefixlen": 24}]}, {}]',
        "route": '[{"dst": "default"}, {"dst": "10.88.2.0/24"}]',
    }
    monkeypatch.setattr(network, "run", lambda argv: said[argv[-1]])
    assert network.free_base({"10.88.4.0"}) == "10.88.6.0"


def test_a_full_pool_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "run", lambda argv: '[{"dst": "10.0.0.0/8"}]' if argv[-1] == "route" else "[]")
    with pytest.raises(UsageError, match=r"no pair of /24 is free in 10\.88\.0\.0/16"):
        network.free_base(set())


LAB = Lab("lab", 2, "10.88.0.0")


def test_the_inventory_is_yaml_and_declares_each_nodes_fabric() -> None:
    assert yaml.safe_load(access._hosts(LAB))["all"]["hosts"]["minsky2"] == {
        "ansible_host": "10.88.0.2",
        "hostname_fabric_name": "ib2",
        "interfaces_fabric_address": "10.88.1.2",
        "clock_servers": ["10.88.0.1"],
        "clock_minpoll": 2,
        "clock_maxpoll": 4,
    }


def test_the_inventory_never_turns_host_keys_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LABS", tmp_path)
    LAB.directory.mkdir()
    (LAB.directory / "digits.manifest").write_text("")
    said = yaml.safe_load(access._group_variables(LAB))
    assert "StrictHostKeyChecking=yes" in said["ansible_ssh_common_args"]
    assert "IdentitiesOnly=yes" in said["ansible_ssh_common_args"]
    assert (said["ansible_user"], said["ansible_become"], said["hostname_policy"]) == ("admin", True, "ib")


def test_the_limit_declared_is_one_this_host_can_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.resource, "getrlimit", lambda _: (65536, 8 << 20))
    monkeypatch.setattr(access, "has_capability", lambda _: False)
    assert access.memlock_limit()[0] == 8192
    monkeypatch.setattr(access, "has_capability", lambda _: True)
    assert access.memlock_limit() == ("unlimited", "")


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="needs root"):
        host.require()


def test_root_without_powers_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "has_capability", lambda _: False)
    with pytest.raises(UsageError, match="CAP_SYS_ADMIN"):
        host.require()


def test_another_distribution_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "require_root", lambda: None)
    release = tmp_path / "os-release"
    release.write_text('ID="rocky"\nID_LIKE="rhel centos fedora"\n')
    with pytest.raises(UsageError, match="the lab needs Debian or Ubuntu, and this is rocky"):
        host.require(release)


def test_missing_packages_come_as_one_line_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "require_root", lambda: None)
    monkeypatch.setattr(host.shutil, "which", lambda tool, path: None if tool in ("mmdebstrap", "ip") else tool)
    monkeypatch.setattr(host, "KEYRING", tmp_path / "none")
    release = tmp_path / "os-release"
    release.write_text("ID=ubuntu\nID_LIKE=debian\n")
    with pytest.raises(UsageError, match=r"apt-get install debian-archive-keyring iproute2 mmdebstrap$"):
        host.require(release)


HYBRID = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "where"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", ["/sys/fs/cgroup"]),
        (HYBRID, ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"]),
    ],
    ids=["unified", "hybrid"],
)
def test_groups_are_made_in_every_hierarchy_systemd_uses(tmp_path: Path, mounts: str, where: list[str]) -> None:
    table = tmp_path / "mounts"
    table.write_text(mounts)
    assert [str(path) for path in cgroups.hierarchies(table)] == where


def test_a_machine_of_version_1_alone_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text("cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n")
    with pytest.raises(UsageError, match="control groups version 2"):
        cgroups.hierarchies(table)


def test_a_group_that_ends_while_we_look_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions come and go: a scope was seen to vanish between being listed and being entered."""
    for name in ("a", "b"):
        (tmp_path / "ddlcheck" / "lab" / name).mkdir(parents=True)
        (tmp_path / "ddlcheck" / "lab" / name / "cgroup.procs").write_text("0\n7\n" if name == "b" else "5\n")
    (tmp_path / "ddlcheck" / "lab" / "cgroup.procs").write_text("")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [tmp_path])
    enter = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("/a"):
            raise FileNotFoundError(path)
        return enter(path)

    monkeypatch.setattr(os, "scandir", scandir)
    group = cgroups.Group("lab")
    assert group.processes() == [7]
    group.remove()


def test_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.path()
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "nano"))
    assert image.path() != before


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://mirror.example/debian/pool/main/o/openmpi/libopenmpi3_4.1.4-3%2bb1_amd64.deb", True),
        ("http://mirror.example/debian/dists/bookworm/InRelease", True),
        ("http://mirror.example/debian/../../etc/passwd", False),
        ("http://mirror.example/debian/%2e%2e/%2e%2e/etc/passwd", False),
        ("http://mirror.example/a?b", False),
        ("http://mirror.example:22/debian/x", False),
        ("http://example.org/debian/x", False),
        ("https://mirror.example/debian/x", False),
        ("file:///etc/passwd", False),
        ("/etc/passwd", False),
    ],
)
def test_the_package_proxy_serves_plain_files_of_its_mirrors(tmp_path: Path, url: str, *, allowed: bool) -> None:
    assert Store(tmp_path, {"mirror.example"}).allows(url) is allowed


@pytest.mark.parametrize(
    "words",
    [[], ["fly"], ["up", "--nodes", "x"], ["up", "--nodes", "0"], ["up", "--nodes", "65"], ["up", "--name", "Lab-1"],
     ["ssh"], ["status", "--name", "nosuch"], ["break", "--name", "nosuch", "minsky1", "memlock"]],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_command_line_ends_with_2_and_no_traceback(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from ddlcheck.cli import main

    try:
        status = main(["lab", *words])
    except SystemExit as left:
        status = int(left.code or 0)
    assert status == 2
    said = capsys.readouterr().err
    assert said
    assert "Traceback" not in said


def test_a_promise_stands_for_its_first_fault_and_a_slip_is_helped() -> None:
    from ddlcheck.cli import lab
    from ddlcheck.errors import UsageError

    assert lab._fault("memlock").promise == "memlock"
    with pytest.raises(UsageError, match="did you mean memlock-unit"):
        lab._fault("memlock-unti")
    with pytest.raises(UsageError, match="lab faults"):
        lab._fault("xyzzy")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "deb http://mirror.example/debian bookworm main\ndeb http://mirror.example/debian-security bookworm-security main\n"),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: https://mirror.example/debian/\nSuites: bookworm\n\nURIs: http://mirror.example/debian-security\n"),
        ("sources.list", "# deb http://other.example/debian x main\ndeb [signed-by=/k] http://mirror.example/debian trixie main\ndeb http://mirror.example/debian-security x main\n"),
    ],
    ids=["one line each", "deb822", "options, comments and another release"],
)  # fmt: skip
def test_nodes_get_the_mirrors_of_the_hosts_apt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    (tmp_path / "sources.list").touch()
    monkeypatch.setattr(image, "APT", tmp_path)
    monkeypatch.delenv(image.MIRROR, raising=False)
    image.sources.cache_clear()
    try:
        found = image.sources()
    finally:
        image.sources.cache_clear()
    assert found == (
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/debian-security bookworm-security main",
    )


def test_a_host_without_a_mirror_of_debian_is_told_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/ubuntu noble main\n")
    monkeypatch.setattr(image, "APT", tmp_path)
    monkeypatch.delenv(image.MIRROR, raising=False)
    image.sources.cache_clear()
    with pytest.raises(UsageError, match="DDLCHECK_MIRROR"):
        image.sources()
    monkeypatch.setenv(image.MIRROR, "http://mirror.example/debian/")
    assert image.sources()[0] == "deb http://mirror.example/debian bookworm main"
    image.sources.cache_clear()


class Named:
    """A fault that only counts."""

    def __init__(self, name: str, promise: str) -> None:
        self.name, self.promise, self.title, self.healed = name, promise, "it is broken", 0

    def inject(self, node: object) -> None:
        pass

    def heal(self, node: object) -> None:
        self.healed += 1


def test_what_was_never_injected_is_not_said_to_be_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ddlcheck.cli import lab as verbs
    from ddlcheck.cli import main

    known = {name: Named(name, "memlock") for name in ("memlock-user", "memlock-unit")}
    monkeypatch.setattr(host, "LABS", tmp_path)
    monkeypatch.setattr(verbs, "_every_fault", lambda: known)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "state.json").write_text('{"nodes": 2, "base": "10.88.0.0"}')

    def said(*words: str) -> str:
        assert main(["lab", *words]) == 0
        return capsys.readouterr().err

    assert said("heal", "minsky1", "memlock-unit") == "lab: minsky1: fault memlock-unit was not injected\n"
    assert known["memlock-unit"].healed == 1  # and put back all the same: a test may have broken it
    said("break", "minsky1", "memlock")
    assert said("heal", "minsky2") == "lab: minsky2: no fault was injected\n"
    assert said("heal", "minsky1", "memlock") == "lab: minsky1: healed of memlock-user\n"
    assert said("heal", "minsky1", "memlock-user") == "lab: minsky1: fault memlock-user was not injected\n"
    said("break", "ib2", "memlock-unit")
    said("break", "minsky2", "memlock-user")
    assert said("heal", "minsky2") == "lab: minsky2: healed of memlock-user, memlock-unit\n"
    assert said("heal", "minsky2") == "lab: minsky2: no fault was injected\n"
