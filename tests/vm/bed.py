"""Virtual machines on one fabric, under QEMU's emulator: slow, but with a kernel of their own.

Everything of a bed is found by its name, as a lab's is: its processes by their control group, its networks by their
name space; so `ddlcheck lab down --name NAME` removes what a killed run left, and so does the next run.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.lab import Lab, host, network
from ddlcheck.lab.access import make_key
from ddlcheck.lab.cgroups import Group
from ddlcheck.lab.cluster import names
from ddlcheck.lab.nodes import entering
from ddlcheck.lab.sweep import sweep
from tests.vm import cpio
from tests.vm.image import OPENMPI5, Image
from tests.vm.programs import rank_programs

QEMU = "qemu-system-x86_64"
TUN = Path("/dev/net/tun")
MEMORY = 1280  # MiB
#: no_timer_check: on a busy host the timer's test can take too long, and the kernel gives up.
APPEND = (
    "console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off no_timer_check tsc=reliable "
    "nowatchdog audit=0 random.trust_cpu=on panic=1 systemd.show_status=false"
)
#: Seconds: 12 on a machine at rest, several times that beside other load.
BOOT = 300.0
COMMAND = 120.0
#: Of a bed whose test run was killed.
OURS = re.compile(r"v(\d+)")


@dataclass
class Machine:
    """One virtual machine: its disk stays when its power is cut."""

    bed: Bed
    number: int
    #: Seconds each boot took until ssh answered.
    boots: list[float] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _began: float = 0.0

    @property
    def name(self) -> str:
        return f"vm{self.number}"

    @property
    def address(self) -> str:
        return self.bed.network.address("eth0", self.number)

    @property
    def fabric_address(self) -> str:
        return self.bed.network.address("ib0", self.number)

    @property
    def directory(self) -> Path:
        return self.bed.directory / "nodes" / self.name

    @property
    def console(self) -> Path:
        return self.bed.directory / "logs" / f"{self.name}.console"

    @property
    def group(self) -> Group:
        return Group(f"{self.bed.name}/{self.name}")

    def make(self, image: Image, authorized: str) -> None:
        """Give it a disk, and what makes it differ from the others."""
        host.run(["cp", "--sparse=always", "--reflink=auto", image.disk, self.directory / "disk"], timeout=600)
        (self.directory / "initrd").write_bytes(image.initrd.read_bytes() + self._seed(authorized))

    def _seed(self, authorized: str) -> bytes:
        files = {
            "etc/hostname": (f"{self.name}\n", 0o644),
            "etc/hosts": (self.bed.hosts(), 0o644),
            "etc/machine-id": (f"{uuid.uuid4().hex}\n", 0o444),
            "etc/ssh/ssh_host_ed25519_key": ((self.directory / "host_key").read_text(), 0o600),
            "etc/ssh/ssh_known_hosts": (self.bed.known_hosts.read_text(), 0o644),
            "home/admin/.ssh/authorized_keys": (authorized, 0o600),
            "home/ddl/.ssh/authorized_keys": (self.bed.job_key.with_name("job_key.pub").read_text(), 0o600),
            "home/ddl/.ssh/id_ed25519": (self.bed.job_key.read_text(), 0o600),
        }
        programs = {name: (data, 0o700) for name, data in self.bed.programs.items()}
        seed = _packed({**{name: (text.encode(), mode) for name, (text, mode) in files.items()}, **programs})
        addresses = f"lo -\neth0 {self.address}/24\neth1 {self.fabric_address}/24\n"
        return cpio.archive([cpio.file("seed.tar", seed), cpio.file("addresses", addresses.encode())])

    def start(self) -> None:
        """Switch it on; return at once."""
        cards = [
            word
            for number, bridge in ((0, "m"), (1, "f"))
            for word in (
                "-netdev", f"tap,id=n{number},ifname={bridge}{self.number},script=no,downscript=no",
                "-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:d0:{number:02x}:{self.number:02x},romfile=",
            )
        ]  # fmt: skip
        argv = [
            *entering(self.group),
            "nsenter", f"--net={network.NETNS / self.bed.network.switch}",
            # A bed ends with the test run that made it.
            "setpriv", "--pdeathsig", "KILL",
            QEMU, "-name", f"ddl-{self.bed.name}-{self.name}", "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-monitor", "none", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=256",
            "-cpu", "max,la57=off", "-smp", "1", "-m", str(MEMORY),
            "-kernel", str(self.bed.image.kernel), "-initrd", str(self.directory / "initrd"),
            "-append", APPEND,
            "-drive", f"file={self.directory / 'disk'},format=raw,if=virtio,cache=unsafe",
            "-device", "virtio-rng-pci", *cards, "-serial", "stdio",
        ]  # fmt: skip
        self._began = time.monotonic()
        with self.console.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=dict(host.ENVIRONMENT),
                start_new_session=True,
            )

    def wait(self, timeout: float = BOOT) -> None:
        """Return when it lets us in by ssh.

        Raises:
            DdlcheckError: it does not, within so many seconds, or its QEMU ended; with its console's last words.

        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._runs():
            if _banner(self.address) and self.run("true", timeout=60, check=False).returncode == 0:
                self.boots.append(time.monotonic() - self._began)
                return
            time.sleep(0.5)
        last = self.console.read_text(errors="replace")[-2000:]
        raise DdlcheckError(f"{self.name} did not come up within {timeout:.0f} s: {last}")

    def _runs(self) -> bool:
        # Ours, or another process's that made the bed. Its group is empty until it has entered it.
        return self._process.poll() is None if self._process is not None else self.group.populated()

    def power_off(self) -> None:
        """Cut its power."""
        self.group.kill()
        if self._process is not None:
            self._process.wait(30)

    def freeze(self) -> None:
        """Stop it between two instructions: connections stay open, nobody answers."""
        self.group.freeze(on=True)

    def thaw(self) -> None:
        """Let it go on."""
        self.group.freeze(on=False)

    def run(
        self, script: str, *, user: str = "admin", timeout: float = COMMAND, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a script by ssh as ``user``: admin, root (through sudo), or ddl, the job's user."""
        words = {"root": ["sudo", "-n", "sh", "-c"], "ddl": ["sudo", "-n", "-u", "ddl", "-i", "sh", "-c"]}
        line = " ".join([*words.get(user, ["sh", "-c"]), _quoted(script)])
        done = subprocess.run(
            ["ssh", "-F", str(self.bed.ssh_config), self.name, line],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{self.name}: {script}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done


@dataclass
class Bed:
    """Machines vm1, vm2, … on a management network and a fabric, which has verbs."""

    name: str
    base: str
    image: Image
    machines: list[Machine] = field(default_factory=list)
    programs: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def load(cls, name: str) -> Bed:
        """Return a bed that stands already."""
        found = json.loads((host.LABS / name / "state.json").read_text())
        bed = cls(name, found["base"], Image(Path(found["image"])))
        bed.machines = [Machine(bed, number) for number in range(1, found["nodes"] + 1)]
        return bed

    @property
    def network(self) -> network.Network:
        return network.Network(self.name, self.base)

    @property
    def directory(self) -> Path:
        return host.LABS / self.name

    @property
    def key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def job_key(self) -> Path:
        return self.directory / "job_key"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory"

    def hosts(self) -> str:
        """Return what every machine finds in its /etc/hosts."""
        lines = [f"{machine.address}\t{machine.name}\n" for machine in self.machines]
        return "127.0.0.1\tlocalhost\n" + "".join(lines)

    def up(self) -> None:
        """Boot every machine; one that does not come up is switched off and on once more."""
        authorized = make_key(self.key, f"bed {self.name}")
        make_key(self.job_key, "ddl")
        self.network.up(0)
        taps = [
            f"tuntap add dev {letter}{machine.number} mode tap\nlink set {letter}{machine.number} master {bridge} up"
            for machine in self.machines
            for letter, bridge in (("m", "mgmt"), ("f", "fabric"))
        ]
        host.run(["ip", "-n", self.network.switch, "-batch", "-"], text="\n".join(taps) + "\n")
        known = []
        (self.directory / "logs").mkdir()
        for machine in self.machines:
            machine.directory.mkdir(parents=True)
            key = make_key(machine.directory / "host_key", machine.name)
            known.append(f"{machine.name},{machine.address},{machine.fabric_address} {' '.join(key.split()[:2])}\n")
        self.known_hosts.write_text("".join(known))
        self.programs = rank_programs(self.image, self.directory / "build")
        for machine in self.machines:
            machine.make(self.image, authorized)
        self.ssh_config.write_text(self._ssh_config())
        self._declare()
        for machine in self.machines:
            machine.start()
        with ThreadPoolExecutor(len(self.machines)) as pool:
            again = [
                machine for machine, up in zip(self.machines, pool.map(_came_up, self.machines), strict=True) if not up
            ]
        # Not from the pool's threads: a machine dies with the thread that switched it on.
        for machine in again:
            machine.power_off()
            machine.start()
        for machine in again:
            machine.wait()

    def off(self) -> None:
        """Cut the power of what this process switched on, and wait for it: no child is left to be collected."""
        for machine in self.machines:
            if machine._process is not None:
                machine.power_off()

    def _declare(self) -> None:
        """Write the inventory: Open MPI 5 over verbs, the fabric beside the network that names lead to."""
        (self.inventory / "group_vars").mkdir(parents=True)
        options = (
            f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
        )
        declared = {
            "ansible_user": "admin",
            "ansible_become": True,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": " ".join(f"-o {option}" for option in options),
            "ssh_mesh_user": "ddl",
            "hostname_policy": "keep",
            "interfaces_fabric": "eth1",
            "openmpi_prefix": OPENMPI5,
            "openmpi_transport": "verbs",
            "fabric_shared_cores": True,
        }
        # JSON is YAML.
        (self.inventory / "group_vars" / "all.yml").write_text(json.dumps(declared, indent=1) + "\n")
        hosts = {machine.name: {"ansible_host": machine.address} for machine in self.machines}
        (self.inventory / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}, indent=1) + "\n")

    def _ssh_config(self) -> str:
        hosts = "".join(f"Host {m.name}\n  HostName {m.address}\n  HostKeyAlias {m.name}\n" for m in self.machines)
        return hosts + (
            f"Host *\n  User admin\n  IdentityFile {self.key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 60\n  LogLevel ERROR\n"
        )


def make(name: str, size: int, image: Image) -> Bed:
    """Return a bed that is up.

    Raises:
        DdlcheckError: a machine did not come up twice, or the host cannot carry it.

    """
    require()
    host.LABS.mkdir(parents=True, exist_ok=True)
    with host.locked("lab-addresses", wait=True):  # labs number their networks from the same pool
        taken = set()
        for other in names():
            with contextlib.suppress(UsageError):
                taken.add(Lab.load(other).base)
        bed = Bed(name, network.free_base(taken), image)
        bed.directory.mkdir(mode=0o700)
        (bed.directory / "state.json").write_text(
            json.dumps({"nodes": size, "base": bed.base, "image": str(image.directory)})
        )
    bed.machines = [Machine(bed, number) for number in range(1, size + 1)]
    try:
        bed.up()
    except BaseException:
        bed.off()
        raise
    return bed


def require() -> None:
    """Refuse, in one sentence, a host that has no emulator or no tap devices.

    Raises:
        DdlcheckError: what is missing, and who installs it.

    """
    host.require()
    if shutil.which(QEMU, path=host.PATH) is None:
        raise DdlcheckError(f"the virtual machines need {QEMU}: `make setup` installs qemu-system-x86")
    if not TUN.exists():
        raise DdlcheckError(f"the virtual machines need tap devices, and this host has no {TUN}")


def sweep_dead() -> None:
    """Remove the beds of test runs that were killed."""
    for name in names():
        found = OURS.fullmatch(name)
        if found and not Path(f"/proc/{found[1]}").exists():
            sweep(name)


def _came_up(machine: Machine) -> bool:
    try:
        machine.wait()
    except DdlcheckError as failed:
        sys.stderr.write(f"{machine.name} is switched off and on again: {failed}\n")
        return False
    return True


def _banner(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=5) as line:
        line.settimeout(30)
        return line.recv(4) == b"SSH-"
    return False


def _packed(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """Return a tar of files, each with its mode; what is in a home is its user's."""
    owners = {"home/admin": 1000, "home/ddl": 1001}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("home/admin/.ssh", "home/ddl/.ssh", "home/ddl/.cache", "home/ddl/.cache/ddlcheck"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o700
            folder.uid = folder.gid = owners["/".join(name.split("/")[:2])]
            tar.addfile(folder)
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), mode, int(time.time())
            entry.uid = entry.gid = owners.get("/".join(name.split("/")[:2]), 0)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
