"""A real Slurm: nodes drain with a reason, jobs start elsewhere, nodes come back, the breaker holds; Open MPI in jobs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddlcheck.lab import Lab
from ddlcheck.lab.faults import FAULTS
from tests.ddl.nodes import must, packed
from tests.gates.slurm import CONF, Slurm

pytestmark = pytest.mark.lab
_DECLARED = {"health_gate_scheduler": "slurm", "health_gate_slurm_conf": CONF}
OURS = ("--tags", "health_gate", "-e", json.dumps(_DECLARED))
#: slurmd's own soft limit, as before Linux 5.16; restarting slurmd mends it.
LOW = 'prlimit --pid "$(systemctl show -p MainPID --value slurmd)" --memlock=65536:'
INTENT, KEPT = "/etc/ddlcheck/intent.json", "/root/intent.kept"
LAUNCHER = "/usr/local/sbin/ddlcheck-node"
#: The background tier looks: what its timer would do later is done at once.
LOOK = "systemctl start ddlcheck.service || :"
#: One file system that every node has.
SHARED = "/srv/shared"
GATE = "PYTHONPATH=/opt/ddlcheck python3 -m ddlcheck gate"


@pytest.fixture(scope="module")
def installed(ready: Lab) -> Iterator[Slurm]:
    """Slurm on the ready nodes, and what the role said when it was applied, checked and applied again."""
    slurm = Slurm(ready)
    try:
        slurm.install()
        slurm.bring()
        slurm.said = [slurm.role(*OURS), slurm.role(*OURS, "--check", "--diff")]
        slurm.hurry()
        yield slurm
    finally:
        slurm.remove()


@pytest.fixture
def slurm(installed: Slurm) -> Iterator[Slurm]:
    """Slurm with every node in service, before and after."""
    rested(installed)
    yield installed
    installed.cancel()
    rested(installed)


def rested(slurm: Slurm) -> None:
    slurm.wait(lambda: set(slurm.states().values()) == {"idle"}, "every node to be in service")


def out(slurm: Slurm, name: str) -> bool:
    return slurm.states()[name].startswith("drain")


def drained(slurm: Slurm, name: str, promise: str, says: str) -> None:
    """Wait until a node is out with a reason that begins with the promise and says what is wrong."""
    slurm.wait(
        lambda: (
            out(slurm, name) and slurm.reason(name).startswith(f"ddlcheck: {promise}: ") and says in slurm.reason(name)
        ),
        f"{name} to be drained for {promise}: {says}",
    )


def stays_out_until(slurm: Slurm, bad: str, mended: Callable[[], object]) -> None:
    """See that jobs start elsewhere while a node is out, and on it, by itself, when it is mended."""
    here = slurm.job("hostname", "-w", bad)
    assert slurm.run("srun hostname | sort", "-N3").split() == [name for name in slurm.names if name != bad]
    assert slurm.job_state(here) == "PENDING"
    mended()
    slurm.done(here)
    assert slurm.output(here, bad) == bad
    assert slurm.reason(bad) == ""


def test_the_role_declares_itself_to_slurm_and_then_changes_nothing(installed):
    first, second = installed.said
    assert "unreachable=0    failed=0" in first
    assert second.count("changed=0") == len(installed.names), second
    assert "Slurm has all that the gate needs" in installed.on(installed.head, f"{LAUNCHER} slurm advise --max-age 900")
    config = installed.on(installed.head, "scontrol show config")
    assert "HealthCheckProgram      = /usr/local/lib/ddlcheck/slurm/healthcheck" in config
    assert installed.on(installed.head, f"grep -c '^Include' {CONF}") == "1"


def test_jobs_run_on_ready_nodes(slurm):
    assert slurm.run("srun hostname | sort", "-N4").split() == slurm.names


def test_slurmd_with_a_low_limit_drains_and_comes_back_after_the_role(slurm):
    bad = slurm.names[1]
    slurm.on(bad, LOW + "65536")
    drained(slurm, bad, "memlock", "slurmd.service runs with a limit older")
    stays_out_until(slurm, bad, lambda: slurm.role("--tags", "memlock"))


def test_a_mount_that_is_gone_drains_and_comes_back_after_the_role(slurm):
    bad = slurm.names[3]
    fault = FAULTS["nfs-unmounted"]
    fault.inject(slurm.node(bad))
    try:
        slurm.on(bad, LOOK)
        drained(slurm, bad, "nfs", "/srv/shared is not mounted")
        # Nobody has the background tier look again: that is the health check's part.
        stays_out_until(slurm, bad, lambda: slurm.role("--tags", "nfs"))
    finally:
        fault.heal(slurm.node(bad))


@pytest.mark.parametrize(("promise", "fault", "heal", "says"), [
    ("hostname", "hostname gpu7", "hostname {name}", "differs from /etc/hostname"),
    ("clock", f"systemctl stop chrony; {LOOK}", "systemctl start chrony; chronyc waitsync 60 0 0 1 || :",
     "no time daemon is active"),
])  # fmt: skip
def test_a_fault_names_its_promise_and_the_node_comes_back_when_it_is_gone(slurm, promise, fault, heal, says):
    bad = slurm.names[2]
    try:
        slurm.on(bad, fault)
        drained(slurm, bad, promise, says)
    finally:
        slurm.on(bad, heal.format(name=bad))
    slurm.wait(lambda: slurm.states()[bad] == "idle", "the node to come back by itself")


def test_an_administrator_s_drain_stays_whatever_the_gate_says(slurm):
    name = slurm.names[1]
    slurm.on(slurm.head, f"scontrol update NodeName={name} State=DRAIN Reason='bad DIMM, alice'")
    slurm.on(name, LOW)
    slurm.on(name, "/usr/local/lib/ddlcheck/slurm/healthcheck; [ $? -eq 1 ]")
    assert slurm.reason(name) == "bad DIMM, alice"
    slurm.on(name, "systemctl restart slurmd")
    slurm.wait(
        lambda: slurm.on(name, "/usr/local/lib/ddlcheck/slurm/healthcheck || echo bad") != "bad", "a good verdict"
    )
    assert (slurm.reason(name), out(slurm, name)) == ("bad DIMM, alice", True)
    slurm.on(slurm.head, f"scontrol update NodeName={name} State=RESUME")


def test_a_fault_on_all_nodes_trips_the_breaker_and_jobs_go_on(slurm):
    for name in slurm.names:
        slurm.on(name, LOW)
    try:
        # A fifth of four nodes: one may go.
        slurm.wait(lambda: len(gone(slurm)) == 1, "the first node to be drained")
        slurm.wait(
            lambda: sum("suspect" in said(slurm, name) for name in slurm.names) == len(slurm.names) - 1,
            "the others to hold back, and say so",
        )
        assert len(gone(slurm)) == 1
        assert len(slurm.run("srun hostname", "-N3").split()) == len(slurm.names) - 1
        assert len(gone(slurm)) == 1
    finally:
        for name in slurm.names:
            slurm.on(name, "systemctl restart slurmd")


def gone(slurm: Slurm) -> list[str]:
    """Return the nodes that are out for memlock."""
    return [name for name in slurm.names if slurm.reason(name).startswith("ddlcheck: memlock: ")]


def said(slurm: Slurm, name: str) -> str:
    """Return what the health check has said loudly since slurmd was last started."""
    since = slurm.on(name, "systemctl show -p ActiveEnterTimestamp --value slurmd").split(" ", 1)[1].rsplit(" ", 1)[0]
    return slurm.on(name, f"journalctl -q --no-pager -p crit -t ddlcheck --since '{since}' -o cat | grep suspect || :")


#: Fault, and what the reason has to say of it.
NO_JUDGEMENT = (
    (f"rm {INTENT}", "intent.json"),
    (f"head -c 200 {KEPT} > {INTENT}", "intent.json"),
    (f"sed s/@/@/ /dev/shm/other.json > {INTENT}", "is for"),
    (f"printf '#!/bin/sh\\necho oh >&2; exit 1\\n' > {LAUNCHER}", "does not run"),
)


def test_a_gate_that_cannot_judge_lets_no_job_through_and_says_which(slurm):
    """Missing, cut short, another host's, crashing: one on each node, all at once, and no breaker for it."""
    other = slurm.on(slurm.names[0], f"base64 -w0 {INTENT}")
    slurm.on(slurm.names[2], f"echo {other} | base64 -d > /dev/shm/other.json")
    for name, (fault, _) in zip(slurm.names, NO_JUDGEMENT, strict=True):
        slurm.on(name, f"cp -p {INTENT} {KEPT}; cp -p {LAUNCHER} /root/launcher.kept; {fault}")
    try:
        job = slurm.job("hostname", "-N4")
        slurm.wait(
            lambda: all(slurm.reason(name).startswith("ddlcheck: health_gate: ") for name in slurm.names),
            "every node to be out, with a reason of ours",
        )
        for name, (_, says) in zip(slurm.names, NO_JUDGEMENT, strict=True):
            assert says in slurm.reason(name), slurm.reason(name)
        assert slurm.job_state(job) == "PENDING"
    finally:
        for name in slurm.names:
            slurm.on(name, f"cp -p {KEPT} {INTENT}; cp -p /root/launcher.kept {LAUNCHER}")
    slurm.done(job)


def test_a_gate_that_hangs_lets_no_job_through(slurm):
    bad = slurm.names[3]
    slurm.on(bad, f"cp -p {LAUNCHER} /root/launcher.kept; "
                  f"sed 's/^from .*/import time; sys.argv[1:2] == [\"--json\"] and time.sleep(600)\\n&/' /root/launcher.kept > {LAUNCHER}")  # fmt: skip
    try:
        # The prolog is first: nobody has looked at the node since it began to hang.
        job = slurm.job("hostname", "-w", bad)
        slurm.wait(lambda: out(slurm, bad), "the node to be drained")
        slurm.wait(lambda: slurm.reason(bad).startswith("ddlcheck: "), "the drain to become ours")
        assert "hangs" in slurm.reason(bad)
        assert slurm.job_state(job) == "PENDING"
    finally:
        slurm.on(bad, f"cp -p /root/launcher.kept {LAUNCHER}")
    slurm.wait(lambda: slurm.states()[bad] == "idle", "the node to come back")
    slurm.done(job)


def test_the_shell_that_submits_keeps_its_low_limit_to_itself(slurm):
    plain = slurm.run("srun sh -c 'ulimit -S -l'", "-N1").strip()
    assert slurm.user("ulimit -S -l 64; srun -N1 sh -c 'ulimit -S -l'") == plain != "64"


def test_a_job_that_gates_itself_runs_on_good_nodes(slurm):
    said = slurm.run(f"{GATE} --budget 0 --json gate.json -- srun sh -c 'echo $SLURMD_NODENAME' | sort; echo $?", "-N4")
    assert said.splitlines()[-5:] == [*slurm.names, "0"]


def test_a_job_finds_the_limit_that_its_shell_brought(slurm):
    # As Slurm comes, everything but a stack goes along.
    slurm.on(slurm.head, "sed -i s/Except=MEMLOCK/Except=STACK/ /etc/slurm/ddlcheck.conf; scontrol reconfigure")
    try:
        number = slurm.job(f"{GATE} --budget 0 -- echo started", "-N2", before="ulimit -S -l 64; ")
        slurm.done(number, well=False)
        found = slurm.output(number, slurm.where(number))
        assert "PropagateResourceLimitsExcept=STACK carries the 64 KiB" in found
        assert "started" not in found
    finally:
        slurm.on(slurm.head, "sed -i s/Except=STACK/Except=MEMLOCK/ /etc/slurm/ddlcheck.conf; scontrol reconfigure")


def test_a_job_goes_on_without_a_node_that_does_not_answer(slurm):
    bad, go = slurm.names[2], f"{SHARED}/go-on"
    job = slurm.job(
        f"touch {go}.waits; while [ ! -e {go} ]; do sleep 1; done; "
        f"{GATE} --budget 0 --exclude-bad --min-nodes 3 --deadline 100 -- echo {{count}} without {{excluded}}",
        "-N4",
    )
    try:
        slurm.wait(lambda: slurm.on(slurm.head, f"ls {go}.waits || :") != "", "the job to run")
        slurm.node(bad).freeze()
        slurm.on(slurm.head, f"touch {go}")
        slurm.wait(lambda: "without" in slurm.output(job), "the gate to go on")
        assert slurm.output(job).splitlines()[-1] == f"3 without {bad}"
    finally:
        # With its clock daemon, to which time has jumped.
        FAULTS["node-frozen"].heal(slurm.node(bad))
        slurm.on(slurm.head, f"rm -f {go} {go}.waits")


def test_after_a_reboot_the_gate_is_in_force_before_slurmd_is(slurm):
    """The unit's drop-in, the timer and the intent are on the disk; what the background tier knew is gone."""
    name = slurm.names[1]
    slurm.on(name, "touch /run/before; systemctl reboot")
    # In one go: what is there at the moment when slurmd runs was there before it.
    at_once = (
        "[ ! -e /run/before ] || exit 1; until systemctl -q is-active slurmd; do sleep 0.1; done; ls /run/ddlcheck"
    )
    found: list[str] = []
    slurm.wait(lambda: bool(found.append(slurm.on(name, at_once)) or found), "the node to boot, and slurmd to run")
    assert "background.json" in found[0].split()
    assert slurm.on(name, "systemctl is-active ddlcheck.timer") == "active"
    # Its clock follows nobody yet, which may well drain it for a moment.
    slurm.wait(lambda: "READY" in slurm.on(name, LAUNCHER), "the node to be ready after its boot")
    rested(slurm)
    slurm.on(name, LOW + "65536")
    drained(slurm, name, "memlock", "slurmd.service runs with a limit older")
    slurm.on(name, "systemctl restart slurmd")


def test_the_health_check_is_done_well_before_slurm_ends_it(slurm):
    begun = time.monotonic()
    slurm.on(slurm.head, "/usr/local/lib/ddlcheck/slurm/healthcheck")
    assert time.monotonic() - begun < 45


# ---- Open MPI in Slurm's jobs

MPI5 = "/opt/openmpi5"
SITE = f"openmpi_method: existing\nopenmpi_prefix: {MPI5}\n"
BOTH = ("--tags", "openmpi,health_gate", *OURS[2:])
LAUNCH = (
    "PYTHONPATH=/opt/ddlcheck timeout --signal=INT 60 python3 -m ddlcheck launch -- sh -c 'echo rank on $(hostname)'"
)


@pytest.fixture(scope="module")
def five(installed: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Open MPI 5 under a prefix of its own on every node, declared and made known by the role; then what was before."""
    site = tmp_path_factory.mktemp("five") / "inventory"
    shutil.copytree(installed.lab.inventory, site)
    with (site / "group_vars" / "all.yml").open("a", encoding="utf-8") as declared:
        declared.write(SITE)
    prefix = Path(os.environ["DDLCHECK_MPIRUN"]).absolute().parents[1]
    programs = packed(prefix.parent, [prefix.name])
    for node in installed.lab.nodes:
        must(installed.lab, node, f"sudo mkdir {MPI5}; sudo tar xz -C {MPI5} --strip-components 1", programs)
    try:
        installed.role(*BOTH, inventory=site)
        yield installed
    finally:
        installed.role(*BOTH)
        for node in installed.lab.nodes:
            installed.on(node, f"rm -rf {MPI5}")


def ranks(said: str) -> list[str]:
    return sorted(line.split()[-1] for line in said.splitlines() if line.startswith("rank on "))


def test_a_launch_in_a_job_has_its_hosts_from_slurm(slurm):
    said = slurm.run(LAUNCH, "-N4", "--ntasks-per-node=1")
    assert ranks(said) == slurm.names, said
    assert "\nmpirun -n 4 --rankfile " in said


def test_every_way_into_a_job_finds_the_mpi_that_was_declared(five, slurm):
    steps = slurm.run("command -v mpirun; srun sh -c 'command -v mpirun'", "-N4")
    assert steps.split() == [f"{MPI5}/bin/mpirun"] * 5
    # A job without its shell's environment gets the user's login environment, from Slurm.
    assert slurm.run("command -v mpirun", "-N1", "--export=NONE") == f"{MPI5}/bin/mpirun"
    assert slurm.user("srun -N4 sh -c 'command -v mpirun'").split() == [f"{MPI5}/bin/mpirun"] * 4


def test_a_launch_of_open_mpi_5_in_a_job_has_its_hosts_from_slurm(five, slurm):
    # mpirun 5 may hang after its ranks have ended (openpmix/prrte#1839), one time in twenty here.
    said = slurm.run(f"for try in 1 2 3; do {LAUNCH} && break; done", "-N4", "--ntasks-per-node=1")
    assert set(ranks(said)) == set(slurm.names), said
    assert f"\n{MPI5}/bin/mpirun --prefix {MPI5} -n 4 --map-by rankfile:file=" in said
