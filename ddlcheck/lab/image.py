"""The root tree every node starts from: built once, kept under a name that is a hash of its recipe."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ddlcheck.errors import DdlcheckError, UsageError
from ddlcheck.lab.host import CACHE, ENVIRONMENT, locked, proxies, run

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = "bookworm"
# Names a mirror (its …/debian) where apt's own sources hold none: on Ubuntu.
MIRROR = "DDLCHECK_MIRROR"
APT = Path("/etc/apt")
PACKAGES = (
    "ca-certificates",
    "dbus",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libpam-modules",
    "libpam-systemd",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd-sysv",
)
# What a machine in a rack does at boot and a container needs not.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "remote-fs.target",
    "systemd-pstore.service",
)
FILES = {
    # A machine as it comes: 64 KiB was every kernel's default before 5.16, and is where the trouble starts.
    "etc/systemd/system.conf.d/10-memlock.conf": "[Manager]\nDefaultLimitMEMLOCK=64K\n",
    "etc/sudoers.d/admin": "admin ALL=(ALL:ALL) NOPASSWD: ALL\n",
}
USERS = ("admin", "ddl")
MMDEBSTRAP = (
    "--mode=root",
    "--variant=minbase",
    "--format=directory",
    "--quiet",
    "--skip=cleanup/apt/lists",
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=force-unsafe-io",
)
STALE = 14 * 86400


@functools.cache
def sources() -> tuple[str, ...]:
    """Return the lines that nodes find in their sources.list: the mirrors this host's apt has.

    By plain http, through the lab's own proxy: packages are signed.

    Raises:
        UsageError: this host knows no mirror of Debian.

    """
    files = (APT / "sources.list", *sorted((APT / "sources.list.d").glob("*")))
    texts = [
        path.read_text(errors="replace") for path in files if path.suffix in (".list", ".sources") and path.is_file()
    ]
    found = re.findall(
        r"^(?:deb\b[^#\n]*?\s|URIs:[^#\n]*?\s)https?://([^\s#]+?)/?(?=\s|$)", "\n".join(texts), re.MULTILINE
    )
    given = os.environ.get(MIRROR, "").rstrip("/").partition("://")[2]
    main = given or next((uri for uri in found if uri.endswith("/debian")), "")
    security = next((uri for uri in found if uri.endswith("/debian-security")), "")
    if not main:
        raise UsageError(f"apt's sources on this host name no mirror of Debian: {MIRROR}=http://HOST/debian names one")
    lines = [f"deb http://{main} {SUITE} main", f"deb http://{main} {SUITE}-updates main"]
    return (*lines, *([f"deb http://{security} {SUITE}-security main"] if security else []))


def recipe() -> str:
    """Return everything that goes into an image, as text."""
    return json.dumps([SUITE, sources(), PACKAGES, MASKED, FILES, USERS, MMDEBSTRAP, "v1"])


def path() -> Path:
    """Return where the image of today's recipe is, or will be."""
    return CACHE / f"image-{hashlib.sha256(recipe().encode()).hexdigest()[:12]}"


def ensure(say: Callable[[str], None]) -> Path:
    """Return the image, building it first if nobody has.

    Raises:
        DdlcheckError: it could not be built; the sentence names the log.

    """
    image = path()
    if not image.is_dir():
        with locked("lab-image", wait=True):
            if not image.is_dir():  # whoever we waited for may have built it
                _build(image, say)
    age = time.time() - image.stat().st_mtime
    if age > STALE:
        say(f"the image is {age / 86400:.0f} days old: with no lab up, delete {image} to get a fresh one")
    return image


def _build(image: Path, say: Callable[[str], None]) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    for left in CACHE.glob("image-*.part"):  # of a builder that was killed: we hold the lock, so nobody's
        shutil.rmtree(left)
    part = image.with_suffix(".part")
    log = image.with_suffix(".log")
    say(f"building the image of Debian {SUITE}, once: about half a minute ({image})")
    # In name spaces of its own that die with us, a killed build leaves neither a process nor a mount.
    argv = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "mmdebstrap",
        *MMDEBSTRAP,
        f"--include={','.join(PACKAGES)}",
        SUITE,
        str(part),
        *sources(),
    ]
    with log.open("w") as out:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
            env={**ENVIRONMENT, **proxies()},
        )
    if done.returncode:
        what = f"mmdebstrap ended with {done.returncode}"
        raise DdlcheckError(f"the image could not be built ({what}): read {log}")
    _customise(part)
    part.rename(image)


def _customise(root: Path) -> None:
    for name, content in FILES.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    (root / "etc/sudoers.d/admin").chmod(0o440)
    for unit in MASKED:
        mask = root / "etc/systemd/system" / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    for user in USERS:
        run(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", user])
    # Identity belongs to a node, never to the image.
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in ("etc/hostname", "etc/machine-id", "etc/resolv.conf"):
        (root / name).unlink(missing_ok=True)
    # Empty: names come from /etc/hosts, packages through the lab's proxy.
    (root / "etc/resolv.conf").write_text("")
