"""What a virtual machine boots: a kernel, a small initramfs, and a root file system, built once from Debian's packages.

Kept under a name that is a hash of the recipe, beside the practice cluster's image and by the same rules.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab import image as lab_image
from ddlcheck.lab.host import CACHE, ENVIRONMENT, locked, proxies, run
from tests.vm import cpio

PACKAGES = (
    "busybox-static", "ca-certificates", "gcc", "ibverbs-providers", "ibverbs-utils", "infiniband-diags",
    "iproute2", "iputils-ping", "kmod", "libc6-dev", "libopenmpi-dev", "libpam-modules",
    "linux-image-amd64", "netbase", "nfs-common", "nfs-kernel-server", "nftables", "openmpi-bin", "openssh-server",
    "procps", "python3", "python3-apt", "sudo", "systemd-sysv", "udev",
)  # fmt: skip
#: Of the kernel's modules, those a machine here can need: the rest is 300 MB.
MODULES = (
    "crypto", "drivers/block/loop", "drivers/block/virtio_blk", "drivers/infiniband/core",
    "drivers/infiniband/sw", "drivers/net/net_failover", "drivers/net/virtio_net", "drivers/virtio", "fs/autofs",
    "fs/configfs", "fs/ext4", "fs/fscache", "fs/fuse", "fs/jbd2", "fs/lockd", "fs/mbcache", "fs/netfs", "fs/nfs", "fs/overlayfs",
    "lib", "net/core", "net/dns_resolver", "net/ipv4", "net/ipv6", "net/netfilter", "net/sunrpc",
)  # fmt: skip
#: What has to be there before the root file system is, and the network card with it.
EARLY = ("virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4")
#: What costs an emulated processor seconds and serves no test.
MASKED = (
    *(unit for unit in lab_image.MASKED if unit != "remote-fs.target"), "dev-hugepages.mount", "dev-mqueue.mount",
    "getty-static.service", "getty.target", "modprobe@dm_mod.service", "modprobe@drm.service", "modprobe@fuse.service",
    "modprobe@loop.service", "nfs-blkmap.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "serial-getty@ttyS0.service", "systemd-binfmt.service", "systemd-journal-flush.service", "systemd-logind.service",
    "systemd-random-seed.service", "systemd-rfkill.socket", "systemd-timesyncd.service",
    "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service",
)  # fmt: skip
#: Installed and at rest: whoever needs it starts it.
AT_REST = ("nfs-server.service", "rpcbind.service", "rpcbind.socket")
USERS = ("admin", "ddl")
OPENMPI5 = "/opt/openmpi5"
RXE = """\
[Unit]
Description=Soft-RoCE on the fabric's interface
DefaultDependencies=no
After=systemd-udevd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/modprobe -a rdma_rxe ib_uverbs
ExecStart=/usr/bin/rdma link add rxe0 type rxe netdev eth1
[Install]
WantedBy=multi-user.target
"""
FILES = {
    "etc/sudoers.d/admin": "admin ALL=(ALL:ALL) NOPASSWD: ALL\n",
    "etc/systemd/system/rxe.service": RXE,
    "etc/systemd/journald.conf.d/10-vm.conf": "[Journal]\nStorage=volatile\n",
    # A client that lost its server for good would otherwise keep the machine from going down.
    "etc/systemd/system.conf.d/10-vm.conf": "[Manager]\nDefaultTimeoutStopSec=10s\n",
    # An emulated machine takes seconds for what a login does; only the key exchange has to be done by then.
    "etc/ssh/sshd_config.d/10-vm.conf": "LoginGraceTime 300\nUseDNS no\nMaxStartups 100\nKexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org\n",
    "etc/security/limits.d/10-memlock.conf": "* - memlock unlimited\nroot - memlock unlimited\n",
    # For the server's clients to be let in again soon after it restarts.
    "etc/nfs.conf.d/10-vm.conf": "[nfsd]\ngrace-time=10\nlease-time=10\nthreads=4\n[lockd]\ngrace-time=10\n",
}
#: The first process: modules, the network, what makes this machine differ from the next, and over to systemd.
INIT = """\
#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
for module in $(busybox cat /modules); do busybox insmod "/lib/$module"; done
while read -r interface address; do
  busybox ip link set "$interface" up
  [ "$address" = - ] || busybox ip addr add "$address" dev "$interface"
done </addresses
busybox mount -t ext4 -o rw,noatime /dev/vda /root || exec busybox sh
# Once: what was changed there since is the machine's own.
if [ ! -e /root/etc/machine-id ]; then
  busybox tar xf /seed.tar -C /root
fi
busybox umount /sys /proc
busybox mount --move /dev /root/dev
exec busybox switch_root /root /lib/systemd/systemd
"""
SIZE = "4G"


@dataclass(frozen=True)
class Image:
    """What QEMU is given: kernel and initramfs as they are, and a disk to be copied for each machine."""

    directory: Path

    @property
    def tree(self) -> Path:
        """Return what is on the disk, as files."""
        return self.directory / "tree"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    @property
    def disk(self) -> Path:
        return self.directory / "disk"


def openmpi5() -> Path:
    """Return where the host's Open MPI 5 is, which machines get a copy of.

    Raises:
        DdlcheckError: nowhere.

    """
    named = next((word for word in os.environ.get("DDLCHECK_MPIRUN", "").split(":") if word), "")
    prefix = Path(named or Path(__file__).parents[2] / ".cache/openmpi5/bin/mpirun").absolute().parents[1]
    if not (prefix / "bin/mpirun").exists():
        raise DdlcheckError(
            "the virtual machines need an Open MPI 5: `make setup` gets it and names it in DDLCHECK_MPIRUN"
        )
    return prefix


def recipe() -> str:
    """Return everything that goes into an image, as text."""
    found = sorted(path.name for path in openmpi5().glob("lib/python*/site-packages/openmpi-*.dist-info"))
    ours = [Path(__file__).read_text(), Path(cpio.__file__).read_text(), lab_image.SUITE, lab_image.sources(), found]
    return json.dumps([*ours, lab_image.MMDEBSTRAP])


def ensure() -> Image:
    """Return the image, built first if nobody has.

    Raises:
        DdlcheckError: it could not be built; the sentence names the log.

    """
    directory = CACHE / f"vm-{hashlib.sha256(recipe().encode()).hexdigest()[:12]}"
    if not directory.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with locked("vm-image", wait=True):
            if not directory.is_dir():  # whoever we waited for may have built it
                _build(directory)
    return Image(directory)


def _build(directory: Path) -> None:
    for left in CACHE.glob("vm-*.part"):  # of a builder that was killed: we hold the lock, so nobody's
        shutil.rmtree(left)
    part = directory.with_suffix(".part")
    tree, began = part / "tree", time.monotonic()
    part.mkdir()
    sys.stderr.write(f"building the virtual machines' image, once: two minutes ({directory})\n")
    _packages(tree, directory.with_suffix(".log"))
    _customise(tree)
    version = next((tree / "lib/modules").iterdir()).name
    shutil.copyfile(tree / "boot" / f"vmlinuz-{version}", part / "vmlinuz")
    (part / "initrd").write_bytes(_initrd(tree, version))
    run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", tree, part / "disk", SIZE], timeout=600)
    part.rename(directory)
    sys.stderr.write(f"built in {time.monotonic() - began:.0f} s\n")


def _packages(tree: Path, log: Path) -> None:
    paths = [
        "path-exclude=/lib/modules/*/kernel/*",
        *(f"path-include=/lib/modules/*/kernel/{name}*" for name in MODULES),
    ]
    # In name spaces of its own that die with us, a killed build leaves neither a process nor a mount.
    leash = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
    argv = [
        *leash, "mmdebstrap", *lab_image.MMDEBSTRAP, *(f"--dpkgopt={path}" for path in paths),
        f"--include={','.join(PACKAGES)}", lab_image.SUITE, str(tree), *lab_image.sources(),
    ]  # fmt: skip
    with log.open("w") as out:
        # INITRD: the kernel's package makes no initramfs of its own, which would be ten times ours.
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False,
            env={**ENVIRONMENT, **proxies(), "INITRD": "No"},
        )  # fmt: skip
    if done.returncode:
        raise DdlcheckError(
            f"the virtual machines' image could not be built (mmdebstrap ended with {done.returncode}): read {log}"
        )


def _customise(tree: Path) -> None:
    shutil.copytree(openmpi5(), tree / OPENMPI5.lstrip("/"), symlinks=True)
    # What role openmpi writes where verbs are declared.
    with (tree / OPENMPI5.lstrip("/") / "etc/openmpi-mca-params.conf").open("a") as parameters:
        parameters.write("pml = ucx\n")
    for name, content in FILES.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    (tree / "etc/sudoers.d/admin").chmod(0o440)
    units = tree / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    run(["systemctl", f"--root={tree}", "disable", *AT_REST])
    run(["systemctl", f"--root={tree}", "enable", "rxe.service"])
    for user in USERS:
        run(["chroot", tree, "useradd", "--create-home", "--shell", "/bin/bash", user])
    # Identity belongs to a machine, never to the image.
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in ("etc/hostname", "etc/machine-id", "var/lib/dbus/machine-id", "etc/resolv.conf"):
        (tree / name).unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text("")
    shutil.rmtree(tree / "var/lib/apt/lists")
    for package in (tree / "var/cache/apt").rglob("*.*"):
        package.unlink()


def _initrd(tree: Path, version: str) -> bytes:
    kernel = tree / "lib/modules" / version
    needs: dict[str, list[str]] = {}
    for line in (kernel / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    at = {Path(path).stem.replace("-", "_"): path for path in needs}
    order: dict[str, None] = {}
    for name in EARLY:
        # Whatever a module needs is listed after it, the last to be loaded first.
        order.update(dict.fromkeys([*reversed(needs[at[name]]), at[name]]))
    entries = [cpio.directory(name) for name in ("bin", "dev", "lib", "proc", "root", "sys")]
    entries += [
        cpio.file("bin/busybox", (tree / "bin/busybox").read_bytes(), 0o755),
        cpio.file("init", INIT.encode(), 0o755),
    ]
    entries += [cpio.file(f"lib/{Path(path).name}", (kernel / path).read_bytes()) for path in order]
    entries.append(cpio.file("modules", "".join(f"{Path(path).name}\n" for path in order).encode()))
    return cpio.archive(entries)
