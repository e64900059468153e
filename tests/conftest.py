"""What several test packages share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from ddlcheck.lab import Lab, lifecycle

# In the background of a script SIGINT is ignored, and every job under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A machine that is busy makes an example slow; that is no finding.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A practice cluster of four nodes as they come from the rack; whoever breaks one mends it."""
    name = f"t{os.getpid() % 10**7}"
    try:
        yield lifecycle.up(name, 4, lambda sentence: sys.stderr.write(f"{sentence}\n"))
    finally:
        lifecycle.down(name)


@pytest.fixture(scope="session")
def ready() -> Iterator[Lab]:
    """A practice cluster of four nodes after site.yml; ``DDLCHECK_READY_LAB`` names one that stands already."""
    standing = os.environ.get("DDLCHECK_READY_LAB")
    if standing:
        yield Lab.load(standing)
        return
    name = f"y{os.getpid() % 10**7}"
    try:
        lab = lifecycle.up(name, 4, lambda sentence: sys.stderr.write(f"{sentence}\n"))
        playbook = Path(sys.executable).parent / "ansible-playbook"
        done = subprocess.run(
            [str(playbook), "-i", str(lab.inventory), "site.yml"],
            cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]
        yield lab
    finally:
        lifecycle.down(name)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    """A real sshd on loopback."""
    from tests.sshd import running

    with running(tmp_path_factory.mktemp("sshd")) as server:
        yield server
