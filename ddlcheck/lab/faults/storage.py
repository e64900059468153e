"""The shared file system and the data set."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from ddlcheck.errors import DdlcheckError
from ddlcheck.lab import fuse
from ddlcheck.lab.faults.fault import Fault, run, sh

if TYPE_CHECKING:
    from ddlcheck.lab.faults.fault import Act
    from ddlcheck.lab.nodes import Node


# What is shared, taken away; and put back where it is not as fstab has it, whatever is there instead.
_UNMOUNT = "umount /srv/shared\n"
_REMOUNT = f"""\
if [ -e {fuse.PID} ]; then
  umount -l /srv/shared 2>/dev/null || :; kill -9 "$(cat {fuse.PID})" 2>/dev/null || :; rm {fuse.PID}
fi
if grep -q ' /srv/shared ' /etc/fstab; then
  mkdir -p /srv/shared
  if ! findmnt -no OPTIONS /srv/shared | grep -q '^rw,nosuid,nodev' || [ -d /srv/shared/.other ]; then
    while mountpoint -q /srv/shared; do umount -l /srv/shared; done
    rm -f /srv/shared/note; mount /srv/shared
  fi
fi
"""
_DIGIT = "$(find -L /data/digits -name '*7.bin' | sort | head -n 1)"


def _fuse(mode: str) -> Act:
    """Return a fault: a file system that is hung or stale where the shared one was."""
    program = pathlib.Path(fuse.__file__).read_text(encoding="utf-8")

    def act(node: Node) -> None:
        run(node, _UNMOUNT)
        done = node.run(["python3", "-", mode, "/srv/shared"], input=program, timeout=30)
        if done.returncode:
            raise DdlcheckError(f"{node.name}: {done.stderr.strip()[-300:]}")

    return act


FAULTS = (
    Fault(
        "nfs-unmounted", "the shared file system is not mounted", "nfs", r"/srv/shared is not mounted",
        sh(f"{_UNMOUNT}rmdir /srv/shared"), sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-empty", "an empty directory is where the mount was", "nfs", r"an empty directory is in its place",
        sh(_UNMOUNT), sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-filled", "somebody writes into the directory below the mount", "nfs", r"files of its own",
        sh(f"{_UNMOUNT}echo mine > /srv/shared/note"), sh(_REMOUNT),
    ),
    Fault(
        "nfs-source", "another directory is mounted in its place", "nfs", r"not from /export/shared",
        sh(f"{_UNMOUNT}mkdir -p /var/tmp/other/.other; mount --bind -o nosuid,nodev /var/tmp/other /srv/shared"),
        sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-options", "it is mounted with other options", "nfs", r"other options than declared \(nosuid,nodev\)",
        sh("mount -o remount,bind,suid,dev /srv/shared"), sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-readonly", "it became read-only", "nfs", r"read-only by surprise",
        sh("mount -o remount,bind,ro,nosuid,nodev /srv/shared"), sh(_REMOUNT), "nfs",
    ),
    Fault(
        "nfs-full", "the shared file system is full", "nfs", r"is full: no bytes left",
        sh("head -c 1G /dev/zero > /export/shared/fill 2>/dev/null || :"), sh("rm -f /export/shared/fill"),
        on="nodes",
    ),
    Fault(
        "nfs-inodes", "the shared file system has room, but for no more files", "nfs", r"is full: no inodes left",
        sh("d=/export/shared/many; mkdir -p $d; cd $d; seq 1 20000 | xargs touch 2>/dev/null || :"),
        sh("rm -rf /export/shared/many"), on="nodes",
    ),
    Fault(
        "nfs-hung", "the file server does not answer any more", "nfs", r"/srv/shared is HUNG",
        _fuse("hung"), sh(_REMOUNT),
    ),
    Fault(
        "nfs-stale", "the export was replaced while it was mounted", "nfs", r"export was removed or replaced",
        _fuse("stale"), sh(_REMOUNT), "nfs",
    ),
    Fault(
        "data-missing", "one file of the data set is gone", "dataset", r"1 file missing \(first 0/07\.bin\)",
        sh(f'rm "{_DIGIT}"'), sh(":"), "dataset",
    ),
    Fault(
        "data-flipped", "one byte of the data set was changed", "dataset",
        r"1 file with other bytes \(first 0/07\.bin\)",
        sh(f'printf "\\377" | dd of="{_DIGIT}" bs=1 seek=9 conv=notrunc status=none'), sh(":"), "dataset",
    ),
    Fault(
        "data-extra", "a file is in the data set that does not belong there", "dataset",
        r"1 file that does not belong there \(first 0/stray\)",
        sh("echo x > /data/digits/0/stray"), sh(":"), "dataset",
    ),
    Fault(
        "data-owner", "the data set belongs to somebody else", "dataset",
        r"1 file of another owner \(first 0/07\.bin\)",
        sh(f'chown 4711 "{_DIGIT}"'), sh(":"), "dataset",
    ),
    Fault(
        "data-manifest", "the manifest of the data set is gone", "dataset", r"the manifest is missing",
        sh("rm /data/.digits@*.manifest"), sh(":"), "dataset",
    ),
)  # fmt: skip
