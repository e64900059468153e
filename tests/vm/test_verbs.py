"""MPI over a real verbs device, between two kernels: what proves it, and what is said where it breaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.bed import Bed
from tests.vm.conftest import Ddlcheck, Said

pytestmark = [pytest.mark.lab, pytest.mark.long]

SENT = "/sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts"
LIMITS = "/etc/security/limits.d/20-low.conf"
#: A packet of Soft-RoCE holds at most this on an Ethernet of 1,500 bytes.
PACKET = 1024


def sent(bed: Bed) -> list[int]:
    return [int(machine.run(f"cat {SENT} 2>/dev/null || echo 0").stdout) for machine in bed.machines]


def fabric(ddlcheck: Ddlcheck, *words: str) -> Said:
    # Emulated processors beside other load: a pair, and a start, may take a minute.
    return ddlcheck("fabric", "--patience", "40", "--time-budget", "600", *words)


def test_bytes_move_over_the_verbs_device_and_its_counters_prove_it(bed: Bed, ddlcheck: Ddlcheck) -> None:
    before = sent(bed)
    said = fabric(ddlcheck)
    moved = [now - then for now, then in zip(sent(bed), before, strict=True)]
    assert said.status == 0, said.text
    for machine, packets in zip(bed.machines, moved, strict=True):
        own = next((v for v in said.verdicts("fabric", machine.name) if v["evidence"].get("carrier")), None)
        assert own, said.text
        assert (own["status"], own["evidence"]["carrier"]) == ("PASS", "verbs"), own
        assert own["evidence"]["device"].startswith("rxe0/1"), own
        assert own["declared"] == {"openmpi_transport": "verbs"}
        # One way and both ways, a mebibyte each time and at least once.
        assert packets > 2 * (1 << 20) / PACKET, moved


@pytest.fixture
def low_memlock(bed: Bed) -> Iterator[None]:
    """A job's user who may lock 64 KiB, as every kernel gave before 5.16."""
    for machine in bed.machines:
        machine.run(f"echo 'ddl - memlock 64' >{LIMITS}", user="root")
    yield
    for machine in bed.machines:
        machine.run(f"rm {LIMITS}", user="root")


@pytest.mark.usefixtures("low_memlock")
def test_a_job_that_may_lock_64_kib_fails_as_it_did_first_and_memlock_is_named(bed: Bed, ddlcheck: Ddlcheck) -> None:
    said = fabric(ddlcheck)
    assert said.status == 1, said.text
    for machine in bed.machines:
        verdict = said.worst("fabric", machine.name)
        assert (verdict["status"], verdict["remedy"]) == ("FAIL", "memlock"), verdict
        assert "memory" in verdict["cause"]
        # The library's own words, in which the first of these failures was told.
        told = verdict["evidence"]["failure"]["text"]
        assert "Cannot allocate memory" in told, told
        assert "Please set max locked memory (ulimit -l) to 'unlimited'" in told, told
    assert bed.machines[0].run("pgrep -c -u ddl rank", check=False).stdout == "0\n"


def test_debian_s_parameter_file_keeps_mpi_on_tcp_and_is_named(bed: Bed, ddlcheck: Ddlcheck) -> None:
    before = sent(bed)
    said = fabric(ddlcheck, "--extra-vars", "openmpi_prefix=/usr")
    assert said.status == 1, said.text
    for machine in bed.machines:
        verdict = said.worst("fabric", machine.name)
        assert (verdict["status"], verdict["remedy"]) == ("FAIL", "openmpi"), verdict
        assert (verdict["evidence"]["carrier"], verdict["evidence"]["device"]) == ("tcp", "eth1")
        assert verdict["cause"] == "/etc/openmpi/openmpi-mca-params.conf switches UCX off (pml = ^ucx)"
    assert sent(bed) == before


@pytest.fixture
def port_down(bed: Bed) -> Iterator[str]:
    """The second machine's port without a link."""
    machine = bed.machines[1]
    machine.run("ip link set eth1 down", user="root")
    yield machine.name
    machine.run(f"ip link set eth1 up; ip addr replace {machine.fabric_address}/24 dev eth1", user="root")


def test_a_port_that_was_taken_down_is_named_and_so_is_its_node(bed: Bed, ddlcheck: Ddlcheck, port_down: str) -> None:
    said = fabric(ddlcheck, "--extra-vars", "interfaces_fabric=")
    assert said.status == 1, said.text
    verdict = said.worst("fabric", port_down)
    assert verdict["status"] == "FAIL", verdict
    assert "no port is active: rxe0/1 is down" in verdict["cause"], verdict
