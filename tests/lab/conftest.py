"""What the lab's own tests share."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ddlcheck.lab import network
from ddlcheck.lab.cgroups import Group, hierarchies

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def ddlcheck() -> Command:
    """Return a function that runs `ddlcheck lab WORDS…` as a user would."""

    def run(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ddlcheck", "lab", *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def traces() -> Callable[[str], list[str]]:
    """Return a function that lists everything of a lab this machine still has."""

    def settled(name: str) -> list[str]:
        # A killed process stays in the table until the host's process 1 collects it.
        deadline = time.monotonic() + 5
        while (found := _traces(name)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    return settled


def _traces(name: str) -> list[str]:
    found = [f"interface {link}" for link in network.links() if link.startswith(f"ddl-{name}")]
    found += [f"name space {space}" for space in network.spaces(name)]
    found += [
        f"mount {line.split()[1]}"
        for line in Path("/proc/mounts").read_text().splitlines()
        if f"/lab/{name}/" in line or f"ddl-{name}-" in line
    ]
    found += [f"group {directory}" for directory in Group(name).directories if directory.exists()]
    found += [str(path) for path in Path("/var/lib/ddlcheck/lab").glob(name)]
    found += [str(path) for path in Path("/run/systemd/nspawn").glob(f"*/ddl-{name}-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            groups = (process / "cgroup").read_text().splitlines()
        except OSError:
            continue
        if any(f"/lab/{name}/" in word or f"ddl-{name}-" in word for word in words) or any(
            line.split(":", 2)[2].startswith(f"/ddlcheck/{name}/") for line in groups
        ):
            found.append(f"process {process.name}: {' '.join(words)}")
    assert hierarchies()
    return found
