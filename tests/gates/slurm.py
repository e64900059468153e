"""A real Slurm on the nodes of a practice cluster: Debian's slurmctld, slurmd and munge, set up to be thrown away."""

from __future__ import annotations

import base64
import io
import secrets
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab import Lab, Node

ROOT = Path(__file__).parents[2]
CONF = "/etc/slurm/slurm.conf"
#: Seconds between two health checks here.
_INTERVAL = 10
#: Seconds that anything may take which takes an interval and a moment when the machine is at rest.
PATIENCE = 300.0
#: What a job has become when it runs no more.
ENDED = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "BOOT_FAIL",
    "DEADLINE",
    "OUT_OF_MEMORY",
    "PREEMPTED",
)
_GATE_SAYS = "/usr/local/sbin/ddlcheck-node --status ''; journalctl -q --no-pager -t ddlcheck -n 8 -o short-iso; tail -n 5 /var/log/slurmd.log"
# What `ddlcheck gate` needs of Python packages where the job starts, from Debian.
_PYTHON = "python3-yaml python3-clustershell python3-paramiko python3-numpy"


class Slurm:
    """Slurm on every node of a lab; the first node is the controller, too."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.names = [self.on(node, "hostname -s") for node in lab.nodes]
        self.head = lab.nodes[0]
        self.said: list[str] = []

    def install(self) -> None:
        """Install and start it; the second time, nothing is fetched."""
        key, conf = secrets.token_hex(64), self._conf()
        with ThreadPoolExecutor(len(self.lab.nodes)) as pool:
            list(pool.map(lambda node: self._install(node, key, conf), self.lab.nodes))
        self.on(self.head, "systemctl restart slurmctld")
        with ThreadPoolExecutor(len(self.lab.nodes)) as pool:
            list(pool.map(lambda node: self.on(node, "systemctl restart slurmd"), self.lab.nodes))
        self.wait(lambda: self.states() == dict.fromkeys(self.names, "idle"), "every node to be idle")

    def _install(self, node: Node, key: str, conf: str) -> None:
        packages = "munge slurm-client slurmd" + (f" slurmctld {_PYTHON}" if node == self.head else "")
        # A daemon that cannot start before it is configured is not to be started by its package.
        policy = "/usr/sbin/policy-rc.d"
        self.on(node, f"printf '#!/bin/sh\\nexit 101\\n' > {policy}; chmod 755 {policy}; export DEBIAN_FRONTEND=noninteractive\n"
                      f"dpkg -s slurmd >/dev/null 2>&1 || apt-get -qq update; r=0\n"
                      f"apt-get -qq install -y --no-install-recommends {packages} >/dev/null || r=$?; rm {policy}; exit $r", 600)  # fmt: skip
        self.on(
            node,
            f"""mkdir -p /etc/slurm /var/spool/slurmctld /var/spool/slurmd; rm -f /etc/slurm/ddlcheck.conf
cat > {CONF} <<'END'
{conf}END
printf %s {key} > /etc/munge/munge.key; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key
systemctl restart munge""",
        )

    def _conf(self) -> str:
        nodes = "".join(
            f"NodeName={name} NodeAddr={node.address} CPUs=1 RealMemory=100 State=UNKNOWN\n"
            for name, node in zip(self.names, self.lab.nodes, strict=True)
        )
        return f"""\
ClusterName=lab
SlurmctldHost={self.names[0]}({self.head.address})
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
ReturnToService=2
SlurmdTimeout=300
KillWait=5
{nodes}PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

    def hurry(self) -> None:
        """Have the health check run more often than a site would: only that, for the slow probes are slow."""
        for node in self.lab.nodes:
            self.on(
                node, f"sed -i 's/^HealthCheckInterval=.*/HealthCheckInterval={_INTERVAL}/' /etc/slurm/ddlcheck.conf"
            )
        self.on(self.head, "scontrol reconfigure")

    def remove(self) -> None:
        """Stop it, and leave no trace in what the nodes promise."""
        for node in self.lab.nodes:
            self.on(node, "systemctl stop slurmd; [ ! -e /usr/sbin/slurmctld ] || systemctl stop slurmctld; systemctl stop munge; "
                          "DEBIAN_FRONTEND=noninteractive apt-get -qq purge -y slurmd slurmctld munge slurm-client >/dev/null 2>&1; "
                          "rm -rf /etc/slurm /var/spool/slurm* /etc/systemd/system/slurmd.service.d /run/ddlcheck/slurm.json /run/ddlcheck/refused.json", 600)  # fmt: skip

    def on(self, node: Node | str, script: str, seconds: float = PATIENCE) -> str:
        """Run a script as root of a node, which has to succeed; return what it said."""
        where = self.node(node) if isinstance(node, str) else node
        done = where.run(["sh", "-c", script], timeout=seconds)
        assert done.returncode == 0, f"{where.name}: {script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def node(self, name: str) -> Node:
        """Return the node that Slurm knows by this name."""
        return self.lab.nodes[self.names.index(name)]

    def states(self) -> dict[str, str]:
        """Return every node's state in sinfo's long form."""
        return dict(line.split() for line in self.on(self.head, "sinfo -h -N -o '%N %T'").splitlines())

    def reason(self, name: str) -> str:
        """Return why a node is out; empty where it is not."""
        said = self.on(self.head, f"sinfo -h -N -n {name} -o %E")
        return "" if said == "none" else said

    def user(self, script: str) -> str:
        """Run a script as the job user on the first node; return what it printed."""
        done = self.head.run(["su", "-", "ddl", "-c", script], timeout=PATIENCE)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}\n{self.said_by_slurm()}"
        return done.stdout.strip()

    def job(self, script: str, *words: str, before: str = "") -> str:
        """Submit a batch job as the job user, and do not wait for it; return its number."""
        return self.user(
            f"cd; {before}printf '#!/bin/sh\\n%s\\n' {_quoted(script)} | sbatch --parsable -o job-%j.out {' '.join(words)}"
        )

    def done(self, number: str, *, well: bool = True) -> None:
        """Wait until a job has ended, ``well`` or not; where it does not start, the message says all that may be why."""

        def ended() -> bool:
            fields = self._fields(number)
            if fields["JobState"] == "PENDING" and fields["Reason"] == "BeginTime":
                # Slurm lets a job that a prolog sent back wait for two minutes; whoever is in a hurry says so.
                self.on(self.head, f"scontrol update JobId={number} StartTime=now || :")
            return fields["JobState"] in ENDED

        self.wait(ended, f"job {number} to end", about=f"scontrol show job {number}; ")
        state = self.job_state(number)
        assert not well or state == "COMPLETED", f"job {number}: {state}\n{self.output(number)}\n{self.said_by_slurm()}"

    def run(self, script: str, *words: str) -> str:
        """Run a batch job to its good end; return what it printed."""
        number = self.job(script, *words)
        self.done(number)
        return self.output(number, self.where(number))

    def where(self, number: str) -> str:
        """Return the node on which a job's script ran."""
        return self._fields(number)["BatchHost"]

    def job_state(self, number: str) -> str:
        """Return a job's state, such as PENDING or COMPLETED."""
        return self._fields(number)["JobState"]

    def _fields(self, number: str) -> dict[str, str]:
        said = self.on(self.head, f"scontrol -o show job {number}")
        return {key: value for key, _, value in (word.partition("=") for word in said.split())}

    def output(self, number: str, node: str = "") -> str:
        """Return what a job has printed; its file is where its script ran."""
        return self.on(node or self.head, f"cat /home/ddl/job-{number}.out 2>/dev/null || :")

    def cancel(self) -> None:
        """End every job."""
        self.on(self.head, "scancel --state=PENDING --user=ddl; scancel --user=ddl; :")
        self.wait(lambda: not self.on(self.head, "squeue -h"), "no job to be left")

    def wait(self, fact: Callable[[], bool], what: str, seconds: float = PATIENCE, *, about: str = "") -> None:
        """Wait until something is so; a question that Slurm does not answer this time is asked again."""
        end = time.monotonic() + seconds
        while True:
            try:
                if fact():
                    return
                trouble = ""
            except (AssertionError, DdlcheckError) as error:
                trouble = f"; the last question failed: {error}"
            assert time.monotonic() < end, f"waited {seconds:g} s for {what}{trouble}\n{self.said_by_slurm(about)}"
            time.sleep(1.0)

    def said_by_slurm(self, about: str = "") -> str:
        """Return what tells why something did not happen: nodes, reasons, jobs, logs, and what every gate says now."""
        script = f"sinfo -N -l; sinfo -R -l; squeue -l; {about}tail -n 40 /var/log/slurmctld.log"
        parts = [self._heard(self.head, script)]
        for name, node in zip(self.names, self.lab.nodes, strict=True):
            parts.append(f"--- {name}\n" + self._heard(node, _GATE_SAYS))
        return "\n".join(parts)

    @staticmethod
    def _heard(node: Node, script: str) -> str:
        try:
            done = node.run(["sh", "-c", f"({script}) 2>&1"], timeout=60)
        except DdlcheckError as error:
            return str(error)
        return done.stdout.strip()

    def role(self, *words: str, inventory: Path | None = None) -> str:
        """Apply roles as an operator does; return what Ansible said."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory or self.lab.inventory), "site.yml", *words],
            cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        return done.stdout

    def bring(self) -> None:
        """Bring this tree to the head, from where jobs run it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name in ("ddlcheck", "roles", "playbooks", "site.yml", "ansible.cfg"):
                tar.add(ROOT / name, name, filter=lambda entry: None if "__pycache__" in entry.name else entry)
        text = base64.b64encode(packed.getvalue()).decode()
        script = "rm -rf /opt/ddlcheck; mkdir -p /opt/ddlcheck; base64 -d | tar xzf - -C /opt/ddlcheck"
        done = self.head.run(["sh", "-c", script], input=text, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
