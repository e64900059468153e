"""The machine under the lab: what it must have, and how its commands are run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ddlcheck.errors import DdlcheckError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LABS = Path("/var/lib/ddlcheck/lab")
CACHE = Path("/var/cache/ddlcheck")
LOCKS = Path("/run/lock")

# Command -> the Debian package it comes in. A node has all else it needs in its own image.
PACKAGES: Mapping[str, str] = {
    "ip": "iproute2",
    "losetup": "mount",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Started from cron, sudo or a test, PATH may lack the directories these commands live in.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Mapping[str, str] = {"PATH": PATH, "LANG": "C.UTF-8", "TERM": "dumb"}

CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24


def run(argv: Sequence[str | Path], *, text: str | None = None, timeout: float = 60) -> str:
    """Run a command of the host, with ``text`` as its input, and return what it printed.

    Raises:
        DdlcheckError: it failed or did not end in ``timeout`` seconds; one sentence with its last words.

    """
    words = [str(word) for word in argv]
    # It ends when we are killed: nothing must go on building what `down` is about to remove.
    leash = ["setpriv", "--pdeathsig", "KILL"]
    try:
        done = subprocess.run(
            [*leash, *words],
            input=text or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=dict(ENVIRONMENT),
        )
    except subprocess.TimeoutExpired as late:
        raise DdlcheckError(f"{' '.join(words[:4])} did not end within {timeout:.0f} s") from late
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise DdlcheckError(f"{' '.join(words)} failed: {last}")
    return done.stdout


def detach(argv: Sequence[str], log: Path, environment: Mapping[str, str] = ENVIRONMENT) -> None:
    """Start a process that outlives us and is not our child; what it prints is added to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=dict(environment),
            check=True,
        )


def proxies() -> dict[str, str]:
    """Return the caller's settings for reaching mirrors through a proxy."""
    return {key: value for key, value in os.environ.items() if key.lower() in {"http_proxy", "no_proxy"}}


def has_capability(number: int) -> bool:
    """Say whether this process holds the capability of that number."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def require_root() -> None:
    """Refuse to go on without root's powers.

    Raises:
        UsageError: not root, or root without CAP_SYS_ADMIN (an unprivileged container).

    """
    if os.geteuid() != 0:
        raise UsageError("the lab makes name spaces and mounts, so it needs root: run it with sudo")
    if not has_capability(CAP_SYS_ADMIN):
        raise UsageError("the lab cannot mount here: this root lacks CAP_SYS_ADMIN (a container?)")


def require(os_release: Path = Path("/etc/os-release")) -> None:
    """Refuse, in one sentence, a host that cannot carry a lab.

    Raises:
        UsageError: what is missing, and the line that installs it where a package would help.

    """
    require_root()
    words = os_release.read_text() if os_release.exists() else ""
    values = dict(line.replace('"', "").split("=", 1) for line in words.splitlines() if "=" in line)
    family = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".split()
    if not {"debian", "ubuntu"} & set(family):
        raise UsageError(f"the lab needs Debian or Ubuntu, and this is {values.get('ID', 'neither')}")
    missing = {package for tool, package in PACKAGES.items() if shutil.which(tool, path=PATH) is None}
    if not KEYRING.exists():
        missing.add("debian-archive-keyring")
    if missing:
        raise UsageError(f"the lab needs packages of this host: apt-get install {' '.join(sorted(missing))}")
    if "\toverlay" not in Path("/proc/filesystems").read_text():
        # Loading it is what the first mount would do as well.
        subprocess.run(["modprobe", "overlay"], check=False, capture_output=True, env=dict(ENVIRONMENT))
        if "\toverlay" not in Path("/proc/filesystems").read_text():
            raise UsageError("the lab cannot start: this kernel has no overlay file system")


@contextmanager
def locked(name: str, *, wait: bool) -> Iterator[None]:
    """Hold the lock ``name`` of this machine; the kernel lets go of it if we are killed.

    Raises:
        UsageError: somebody else holds it and ``wait`` is false.

    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / f"ddlcheck-{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            what = name.replace("-", " ")
            raise UsageError(f"another ddlcheck is at work on {what}: wait for it to end") from None
        yield
