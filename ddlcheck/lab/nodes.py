"""One node: a whole systemd machine in a container, and what can be done to it from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab import network
from ddlcheck.lab.cgroups import Group
from ddlcheck.lab.host import ENVIRONMENT, PATH, detach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddlcheck.lab.cluster import Lab

State = Literal["running", "frozen", "stopped"]

# What nspawn leaves to a container of its own accord, plus the network (it is in a name space of its own)
# and pinned memory (nodes pin for RDMA). Not among them: the clock, which is the host's, and kernel modules.
CAPABILITIES = (
    "audit_control",
    "audit_write",
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "ipc_lock",
    "ipc_owner",
    "kill",
    "lease",
    "linux_immutable",
    "mknod",
    "net_admin",
    "net_bind_service",
    "net_broadcast",
    "net_raw",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_admin",
    "sys_boot",
    "sys_chroot",
    "sys_nice",
    "sys_ptrace",
    "sys_resource",
    "sys_tty_config",
)
LOOPS = 8
SHUTDOWN = 15.0

# sh -c ENTER sh COUNT GROUP… COMMAND…: a process moves itself before it becomes the command, so that nothing
# of a node ever runs where `down` would not find it.
ENTER = """\
count=$1; shift
while [ "$count" -gt 0 ]; do echo $$ > "$1/cgroup.procs" || exit; shift; count=$((count-1)); done
exec "$@"
"""
# nspawn ends with 133 when the machine inside wants to be rebooted.
WATCH = 'while :; do "$@"; [ $? -eq 133 ] || exit; done'

_calls = count()


@dataclass(frozen=True)
class Node:
    """Node ``index`` (from 1) of a lab."""

    lab: Lab
    index: int

    @property
    def name(self) -> str:
        """Return its host name, as it came from the rack."""
        return f"minsky{self.index}"

    @property
    def fabric_name(self) -> str:
        """Return the name of its InfiniBand interface."""
        return f"ib{self.index}"

    @property
    def address(self) -> str:
        """Return its management address."""
        return self.lab.network.address("eth0", self.index)

    @property
    def fabric_address(self) -> str:
        """Return its address on the fabric."""
        return self.lab.network.address("ib0", self.index)

    @property
    def directory(self) -> Path:
        """Return where its overlay is on the host."""
        return self.lab.directory / "nodes" / self.name

    @property
    def root(self) -> Path:
        """Return its root file system, as the host sees it."""
        return self.directory / "root"

    @property
    def console(self) -> Path:
        """Return the log of its console."""
        return self.lab.directory / "logs" / f"{self.name}.console"

    @property
    def group(self) -> Group:
        """Return the control group all its processes are in."""
        return Group(f"{self.lab.name}/{self.name}")

    @property
    def machine(self) -> str:
        """Return the name nspawn knows it by, unique on this host."""
        return f"ddl-{self.lab.name}-{self.name}"

    def state(self) -> State:
        """Say whether it runs."""
        if not self.group.populated():
            return "stopped"
        return "frozen" if self.group.frozen() else "running"

    def leader(self) -> int:
        """Return the host's process id of the node's process 1.

        Raises:
            DdlcheckError: the node does not run.

        """
        for pid in Group(f"{self.group.path}/boot").processes():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                # NSpid: its id here, then in each name space it is in.
                ids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
                if ids == [str(pid), "1"]:
                    return pid
        raise DdlcheckError(f"{self.name} does not run: `ddlcheck lab status` says more")

    def start(self) -> None:
        """Boot it; return at once."""
        if self.group.populated():
            return
        devices = [path for path in ("/dev/fuse", "/dev/loop-control") if Path(path).exists()]
        devices += [f"/dev/loop{number}" for number in range(LOOPS) if Path(f"/dev/loop{number}").exists()]
        argv = [
            *entering(Group(f"{self.group.path}/watch")),
            "sh",
            "-c",
            WATCH,
            "sh",
            *entering(Group(f"{self.group.path}/boot")),
            # Not `ip netns exec`, which hides /sys/fs/cgroup; and from the start, not by nspawn's own
            # option, or /sys/class/net would show the host's interfaces.
            "nsenter",
            f"--net={network.NETNS / self.lab.network.space(self.index)}",
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            f"--directory={self.root}",
            f"--machine={self.machine}",
            f"--hostname={self.name}",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--console=read-only",
            "--system-call-filter=@memlock",
            f"--capability={','.join('CAP_' + name.upper() for name in CAPABILITIES)}",
            *(f"--bind={device}" for device in devices),
            f"--bind={self.lab.shared}:/export/shared",
        ]
        detach(argv, self.console)

    def stop(self, timeout: float = SHUTDOWN) -> None:
        """Shut it down cleanly; after ``timeout`` seconds, as a power cut would."""
        if self.state() == "frozen":
            self.thaw()
        for pid in Group(f"{self.group.path}/boot/supervisor").processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while self.group.populated() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.power_off()

    def power_off(self) -> None:
        """Cut its power: every process of it ends at once."""
        self.group.kill()
        self.group.remove()

    def freeze(self) -> None:
        """Stop it between two instructions: connections stay open, nobody answers.

        Raises:
            DdlcheckError: the node does not run.

        """
        self.leader()
        self.group.freeze(on=True)

    def thaw(self) -> None:
        """Let a frozen node go on."""
        self.group.freeze(on=False)

    def link(self, interface: str, *, up: bool) -> None:
        """Pull the cable of ``eth0`` or ``ib0`` at the switch, or put it back."""
        self.lab.network.cable(self.index, interface, up=up)

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002 - subprocess's word
        timeout: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the node as its root, without ssh; the status is the caller's to look at.

        The command has root's powers in the node (not the host's clock, not its modules), the host's resource
        limits, and an environment of its own. A daemon it leaves behind ends with the node; one that keeps
        the output open is waited for.

        Raises:
            DdlcheckError: the node does not run, or the command did not end in ``timeout`` seconds (it is
                killed then, with all it started).

        """
        call = Group(f"{self.group.path}/run-{os.getpid()}-{threading.get_ident()}-{next(_calls)}")
        keep = ",".join(f"+{name}" for name in CAPABILITIES)
        words = [
            *entering(call),
            "nsenter",
            f"--target={self.leader()}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--root",
            "--wd",
            "--",
            "setpriv",
            f"--bounding-set=-all,{keep}",
            "--inh-caps=-all",
            "--",
            "env",
            "-i",
            f"PATH={PATH}",
            "HOME=/root",
            "USER=root",
            "LOGNAME=root",
            "LANG=C.UTF-8",
            *argv,
        ]
        try:
            with subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                cwd="/",
                env=dict(ENVIRONMENT),
            ) as process:
                try:
                    out, err = process.communicate(input or "", timeout=timeout)
                except BaseException as ended:
                    call.kill()
                    if isinstance(ended, subprocess.TimeoutExpired):
                        what = f"{self.name}: {' '.join(argv)}"
                        raise DdlcheckError(f"{what} did not end within {timeout:g} s") from ended
                    raise
        finally:
            call.remove()
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)


def entering(group: Group) -> list[str]:
    """Return the words that, put before a command, make it start in ``group``."""
    directories = group.make()
    return ["sh", "-c", ENTER, "sh", str(len(directories)), *map(str, directories)]
