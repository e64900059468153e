"""Removing what there is of a lab, by its name."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab import host, network
from ddlcheck.lab.cgroups import Group

NSPAWN = Path("/run/systemd/nspawn")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# systemd, its user manager, dbus and logind of one node, and some to spare.
INOTIFY_PER_NODE = 24


def sweep(name: str) -> bool:
    """End the lab ``name`` and remove every trace of it; say whether there was any.

    Its nodes are not shut down but cut off: nothing they could write is kept.

    Raises:
        DdlcheckError: a process, a mount or an interface would not go.

    """
    directory = host.LABS / name
    group = Group(name)
    found = directory.exists() or group.populated() or bool(network.spaces(name))
    group.kill()
    group.remove()
    _unmount(directory)
    for left in NSPAWN.glob(f"*/ddl-{name}-minsky*"):
        with contextlib.suppress(OSError):
            left.rmdir() if left.is_dir() else left.unlink()
    network.remove(name)
    if directory.exists():
        shutil.rmtree(directory)
    _restore_room()
    return found


def make_room(nodes: int) -> None:
    """Let that many nodes watch files: their roots are one user, who by default has 128 inotify instances."""
    room = 128 + INOTIFY_PER_NODE * nodes
    if int(INOTIFY.read_text()) < room:
        with contextlib.suppress(FileExistsError), _kept().open("x") as kept:
            kept.write(INOTIFY.read_text())
        INOTIFY.write_text(str(room))


def _kept() -> Path:
    return host.LABS / ".inotify"


def _restore_room() -> None:
    if _kept().exists() and not any(path.is_dir() for path in host.LABS.iterdir()):
        INOTIFY.write_text(_kept().read_text())
        _kept().unlink()


def _unlock(roots: list[Path]) -> None:
    """Remove nspawn's lock files, named by device and inode of what was booted."""
    for root in roots:
        with contextlib.suppress(OSError):
            found = root.stat()
            (NSPAWN / "locks" / f"inode-{found.st_dev}:{found.st_ino}").unlink()


def _unmount(directory: Path) -> None:
    """Unmount everything below ``directory``, after letting go of loop devices on files in there."""
    where: list[tuple[str, str]] = []  # (device number, mount point)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        _, _, device, _, point = line.split()[:5]
        if Path(point).is_relative_to(directory):
            where.append((device, point))
    if not where:
        return
    _unlock([Path(point) for _, point in where])
    devices = {device for device, _ in where}
    loops = host.run(["losetup", "--json", "--list", "--output", "NAME,BACK-MAJ:MIN"])
    for loop in json.loads(loops or "{}").get("loopdevices", []):
        if str(loop["back-maj:min"]).strip() in devices:
            host.run(["losetup", "--detach", loop["name"]])
    deadline = time.monotonic() + 5
    for _, point in reversed(where):
        while True:
            try:
                host.run(["umount", point])
                break
            except DdlcheckError:
                # What the node's last processes held is let go of a moment after they are gone.
                if time.monotonic() > deadline:
                    host.run(["umount", "--lazy", point])
                    break
                time.sleep(0.05)
