"""A lab's nodes are whole machines, as they come from the rack, and apart from each other."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab import Lab, image
from ddlcheck.lab.nodes import Node

pytestmark = pytest.mark.lab


def over_ssh(node: Node, *words: str) -> str:
    done = subprocess.run(
        node.lab.ssh(node, *words), capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_node_lets_admin_in_and_admin_may_become_root(lab: Lab) -> None:
    assert [over_ssh(node, "hostname; id -un; sudo id -un").split() for node in lab.nodes] == [
        [f"minsky{index}", "admin", "root"] for index in (1, 2, 3, 4)
    ]


def test_a_node_boots_without_a_failed_unit(lab: Lab) -> None:
    for node in lab.nodes:
        assert node.run(["systemctl", "is-system-running", "--wait"]).stdout.strip() == "running"


def test_sessions_and_sshd_have_64_kib_of_locked_memory(lab: Lab) -> None:
    node = lab.nodes[0]
    assert over_ssh(node, "ulimit -S -l; ulimit -H -l").split() == ["64", "64"]
    assert over_ssh(node, "sudo -u ddl bash -c 'ulimit -l'") == "64"
    sshd = node.run(["systemctl", "show", "-p", "MainPID", "--value", "ssh"]).stdout.strip()
    limits = node.run(["cat", f"/proc/{sshd}/limits"]).stdout
    assert next(line for line in limits.splitlines() if "locked" in line).split()[3:5] == ["65536", "65536"]


def test_etc_hosts_is_the_distributions(lab: Lab) -> None:
    assert "127.0.1.1\tminsky3\n" in lab.nodes[2].run(["cat", "/etc/hosts"]).stdout


def test_nodes_come_without_mpi_chrony_or_keys_between_them(lab: Lab) -> None:
    node = lab.nodes[1]
    assert node.run(["sh", "-c", "command -v mpirun chronyd"]).stdout == ""
    assert node.run(["find", "/home/ddl", "-name", "id_*"]).stdout == ""
    assert node.run(["sudo", "-n", "-u", "ddl", "sudo", "-n", "true"]).returncode != 0


def test_identities_are_nobody_elses(lab: Lab) -> None:
    for path in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"):
        assert len({node.run(["cat", path]).stdout for node in lab.nodes}) == len(lab.nodes)


def test_a_host_name_set_on_one_node_is_that_nodes_alone(lab: Lab) -> None:
    first, second = lab.nodes[:2]
    ours = Path("/proc/sys/kernel/hostname").read_text()
    try:
        assert first.run(["hostnamectl", "set-hostname", "ib1"]).returncode == 0
        assert over_ssh(first, "hostname") == "ib1"
        assert over_ssh(second, "hostname") == "minsky2"
        assert Path("/proc/sys/kernel/hostname").read_text() == ours
    finally:
        first.run(["hostnamectl", "set-hostname", "minsky1"])


def test_stopping_a_service_on_one_node_leaves_the_others_alone(lab: Lab) -> None:
    first, second = lab.nodes[:2]
    try:
        assert first.run(["systemctl", "stop", "dbus.socket", "dbus.service"]).returncode == 0
        assert second.run(["systemctl", "is-active", "dbus.service"]).stdout.strip() == "active"
    finally:
        first.run(["systemctl", "start", "dbus.socket", "dbus.service"])


def test_a_node_sees_its_own_interfaces_and_reaches_the_others_on_both(lab: Lab) -> None:
    first, second = lab.nodes[:2]
    assert over_ssh(first, "ls /sys/class/net").split() == ["eth0", "ib0", "lo"]
    for address in (second.address, second.fabric_address):
        assert first.run(["ping", "-c", "1", "-W", "2", address]).returncode == 0


def test_a_node_has_no_way_out(lab: Lab) -> None:
    routes = json.loads(lab.nodes[0].run(["ip", "-j", "route"]).stdout)
    assert "default" not in {route["dst"] for route in routes}


def test_the_clock_is_out_of_reach(lab: Lab) -> None:
    before = time.time()
    assert lab.nodes[0].run(["date", "-s", "@1600000000"]).returncode != 0
    assert over_ssh(lab.nodes[0], "sudo date -s @1600000000 || echo refused").endswith("refused")
    assert time.time() >= before


def test_packages_install_without_an_update_and_come_from_the_cache_the_second_time(lab: Lab) -> None:
    install = ["apt-get", "install", "-qq", "-y", "pdsh"]
    for node in lab.nodes[:2]:
        done = node.run(["env", "DEBIAN_FRONTEND=noninteractive", *install], timeout=120)
        assert done.returncode == 0, done.stderr
        assert node.run(["pdsh", "-V"]).returncode == 0
    assert lab.nodes[2].run(["apt-get", "update", "-qq"], timeout=120).returncode == 0
    assert list(Path("/var/cache/ddlcheck/apt").rglob("pdsh_*.deb"))


def test_the_proxy_serves_the_mirrors_and_nothing_else(lab: Lab) -> None:
    script = (
        "import sys, urllib.request, urllib.error\n"
        "opener = urllib.request.build_opener(urllib.request.ProxyHandler({'http': sys.argv[1]}))\n"
        "for url in sys.argv[2:]:\n"
        "    try: print(opener.open(url, timeout=20).status)\n"
        "    except urllib.error.HTTPError as refused: print(refused.code)\n"
    )
    proxy = f"http://{lab.network.address('eth0', 253)}:3142"
    mirror = image.sources()[0].split()[1]
    urls = ["http://example.org/pool/x.deb", f"{mirror}/../../../../../etc/passwd", "http://localhost/x"]
    done = lab.nodes[0].run(["python3", "-c", script, proxy, *urls])
    assert done.stdout.split() == ["403", "403", "403"], done.stderr


def test_a_small_loop_file_system_can_be_mounted_in_a_node(lab: Lab) -> None:
    script = (
        "truncate -s 8M /root/disk && mkfs.ext4 -q /root/disk && mount -o loop /root/disk /mnt"
        " && df --output=target /mnt && umount /mnt && rm /root/disk"
    )
    done = lab.nodes[3].run(["sh", "-c", script])
    assert done.stdout.split()[-1:] == ["/mnt"], done.stderr


def test_run_passes_input_output_and_status_and_ends_what_takes_too_long(lab: Lab) -> None:
    node = lab.nodes[0]
    done = node.run(["sh", "-c", "cat; echo late >&2; exit 7"], input="early")
    assert (done.stdout, done.stderr.strip(), done.returncode) == ("early", "late", 7)
    with pytest.raises(DdlcheckError, match="minsky1: sleep 4321 did not end within 1 s"):
        node.run(["sleep", "4321"], timeout=1)
    assert node.run(["pgrep", "-f", "sleep 432[1]"]).stdout == ""


def test_a_node_can_be_frozen_and_thawed(lab: Lab) -> None:
    node = lab.nodes[3]
    node.freeze()
    try:
        assert node.state() == "frozen"
        assert lab.silent(3) == [node]
    finally:
        node.thaw()
    assert lab.silent(20) == []


def test_a_node_can_be_stopped_and_started_and_keeps_its_files(lab: Lab) -> None:
    node = lab.nodes[3]
    node.run(["touch", "/root/kept"])
    node.stop()
    try:
        assert node.state() == "stopped"
        with pytest.raises(DdlcheckError, match="minsky4 does not run"):
            node.run(["true"])
    finally:
        node.start()
    assert lab.silent(30) == []
    assert node.run(["ls", "/root/kept"]).returncode == 0
    assert node.fabric_address in node.run(["ip", "-br", "address"]).stdout


def test_a_node_that_reboots_comes_back_with_its_addresses(lab: Lab) -> None:
    node = lab.nodes[3]
    before = node.leader()
    node.run(["systemctl", "reboot"])
    deadline = time.monotonic() + 60
    while True:
        try:
            if node.leader() != before and not lab.silent(2):
                break
        except DdlcheckError:  # between two boots
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert node.fabric_address in node.run(["ip", "-br", "address"]).stdout


def test_a_cable_can_be_pulled_and_put_back(lab: Lab) -> None:
    first, second = lab.nodes[:2]
    ping = ["ping", "-c", "1", "-W", "1", second.fabric_address]
    second.link("ib0", up=False)
    try:
        assert first.run(ping).returncode != 0
        assert over_ssh(second, "cat /sys/class/net/ib0/carrier") == "0"
    finally:
        second.link("ib0", up=True)
    assert first.run(ping).returncode == 0


def test_ansible_reaches_every_node_by_the_inventory_alone(lab: Lab) -> None:
    done = subprocess.run(
        ["ansible", "-i", str(lab.inventory), "all", "-m", "ansible.builtin.command", "-a", "id -un"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("root") == len(lab.nodes)


def test_a_host_key_that_changed_is_refused(lab: Lab, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    one, other = (line.split() for line in lab.known_hosts.read_text().splitlines()[::2][:2])
    known.write_text(f"{one[0]} {other[1]} {other[2]}\n")
    argv = lab.ssh(lab.nodes[0], "true")
    done = subprocess.run(
        [argv[0], "-o", f"UserKnownHostsFile={known}", *argv[1:]],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 255
    assert "verification failed" in done.stderr
