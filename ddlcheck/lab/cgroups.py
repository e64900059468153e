"""A control group for every node: what makes its processes findable, freezable and mortal.

Only version 2's ``cgroup.kill`` and ``cgroup.freeze`` are used, which need no controller. Where the host also
mounts version 1's ``name=systemd`` (a hybrid host), nodes get a group there too: without it the systemd of
every node would keep its services in the same one, and stop each other's.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ddlcheck.errors import DdlcheckError, UsageError

TOP = "ddlcheck"


def hierarchies(mounts: Path = Path("/proc/mounts")) -> list[Path]:
    """Return where groups are to be made: version 2 first, then ``name=systemd`` if it is there.

    Raises:
        UsageError: version 2 is not mounted, or too old to kill a group (Linux before 5.14).

    """
    second, named = None, None
    for line in mounts.read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2" and second is None:
            second = Path(where)
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named = Path(where)
    if second is None:
        raise UsageError("the lab needs control groups version 2, which this machine does not mount")
    return [second, named] if named else [second]


def _deepest_first(top: Path) -> list[Path]:
    """Return a directory and those below it, as far as they are there: a session that ends takes its group along.

    Not ``Path.rglob``: it raises for a directory that ends between being listed and being entered.
    """
    return [Path(directory) for directory, _, _ in os.walk(top, topdown=False)]


@dataclass(frozen=True)
class Group:
    """One group, by its path under the lab's own top (``lab/minsky1/boot``), in every hierarchy."""

    path: str

    @property
    def directories(self) -> list[Path]:
        """Return its directory in every hierarchy, version 2 first."""
        return [top / TOP / self.path for top in hierarchies()]

    def make(self) -> list[Path]:
        """Create it."""
        for directory in self.directories:
            directory.mkdir(parents=True, exist_ok=True)
        return self.directories

    def processes(self) -> list[int]:
        """Return the process ids in it and in the groups below."""
        found: set[int] = set()
        for directory in _deepest_first(self.directories[0]):
            with contextlib.suppress(OSError):  # a group may end while we look
                found.update(int(word) for word in (directory / "cgroup.procs").read_text().split())
        # 0: the id of somebody in a process name space that is not ours to see.
        return sorted(found - {0})

    def populated(self) -> bool:
        """Say whether anything lives in it."""
        events = self.directories[0] / "cgroup.events"
        try:
            return "populated 1" in events.read_text()
        except OSError:
            return False

    def frozen(self) -> bool:
        """Say whether it was frozen."""
        try:
            return (self.directories[0] / "cgroup.freeze").read_text().strip() == "1"
        except OSError:
            return False

    def freeze(self, *, on: bool) -> None:
        """Stop everything in it between two instructions, or let it go on."""
        (self.directories[0] / "cgroup.freeze").write_text("1" if on else "0")
        deadline = time.monotonic() + 5
        wanted = f"frozen {int(on)}"
        while wanted not in (self.directories[0] / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise DdlcheckError(f"control group {self.path} did not report “{wanted}” within 5 s")
            time.sleep(0.01)

    def kill(self, timeout: float = 20) -> None:
        """End everything in it, frozen or not.

        Raises:
            DdlcheckError: something did not die in ``timeout`` seconds; its process ids are named.

        """
        deadline = time.monotonic() + timeout
        while self.populated():
            with contextlib.suppress(FileNotFoundError):
                (self.directories[0] / "cgroup.kill").write_text("1")
            if time.monotonic() > deadline:
                left = ", ".join(str(pid) for pid in self.processes())
                raise DdlcheckError(f"processes {left} of {self.path} did not die within {timeout:.0f} s")
            time.sleep(0.02)

    def remove(self) -> None:
        """Remove it and the groups below it; whoever still lives in one keeps that one."""
        for top in self.directories:
            # Deepest first: a group with children cannot be removed.
            for directory in _deepest_first(top):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            with contextlib.suppress(OSError):
                top.parent.rmdir()
