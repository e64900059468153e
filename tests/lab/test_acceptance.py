"""An independent witness: pytest-testinfra looks at the nodes that the roles made ready, with none of our code."""

from __future__ import annotations

import pytest
import testinfra

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", params=[1, 2, 3, 4], ids=lambda i: f"minsky{i}")
def node(request, ready):
    """One node, over ssh as the administrator."""
    return request.param, testinfra.get_host(
        f"ssh://minsky{request.param}", ssh_config=str(ready.ssh_config), timeout=30
    )


def test_a_fresh_session_may_lock_what_was_declared(node, ready):
    from ddlcheck.lab import access

    _, host = node
    declared = str(access.variables(ready)["memlock_limit"][0])
    assert host.check_output("ulimit -l") == declared
    assert host.check_output("ulimit -H -l") == declared


def test_the_host_is_named_after_its_fabric_interface(node):
    index, host = node
    assert host.check_output("uname -n") == f"ib{index}"
    assert host.check_output("cat /etc/hostname") == f"ib{index}"


def test_every_name_has_one_address_and_none_is_loopback(node, ready):
    _, host = node
    for other in ready.nodes:
        assert (
            host.check_output("getent ahostsv4 %s | cut -d' ' -f1 | sort -u", other.fabric_name) == other.fabric_address
        )
        assert host.check_output("getent ahostsv4 %s | cut -d' ' -f1 | sort -u", other.name) == other.address


def test_the_job_user_reaches_every_node_in_silence_and_root_none(node, ready):
    _, host = node
    for other in ready.nodes:
        strict = f"ssh -o BatchMode=yes -o StrictHostKeyChecking=yes {other.fabric_name} true"
        done = host.run(f"sudo -n su -l ddl -c '{strict}'")
        assert (done.rc, done.stdout, done.stderr) == (0, "", "")
        assert host.run(f"sudo -n {strict} || echo refused").stdout == "refused\n"


def test_no_private_key_can_be_read_by_others(node):
    _, host = node
    with host.sudo():
        for line in host.check_output("stat -c '%a %U' /home/ddl/.ssh/id_*").splitlines():
            assert line in ("600 ddl", "644 ddl")
        assert host.file("/home/ddl/.ssh").mode == 0o700


def test_time_is_kept_and_open_mpi_is_installed(node):
    _, host = node
    assert host.service("chrony").is_running
    assert host.service("chrony").is_enabled
    assert host.package("openmpi-bin").is_installed
    assert host.run("mpirun --version").rc == 0
    text = host.file("/etc/openmpi/openmpi-mca-params.conf").content_string
    assert not [line for line in text.splitlines() if "^ucx" in line and not line.startswith("#")]
