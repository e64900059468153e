"""What the roles' tests share: their own practice cluster, and Ansible run as its user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ddlcheck.lab import Lab, lifecycle

ROOT = Path(__file__).parents[2]
FATAL = re.compile(r"^(?:fatal|failed): \[([^\]]+)\].*?=> (?=\{)", re.MULTILINE)
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)


@dataclass
class Run:
    """What a run of Ansible left: its status, what it said, how much it changed and why it failed, by host."""

    status: int
    said: str
    changed: dict[str, int] = field(init=False)
    failed: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.changed = {host: int(number) for host, number in RECAP.findall(self.said)}
        self.failed = {}
        for found in FATAL.finditer(self.said):
            result: dict[str, Any] = json.JSONDecoder().raw_decode(self.said, found.end())[0]
            self.failed[found[1]] = " ".join(str(result.get("msg", "")).split())  # after a rescue, the last one


def run_playbook(
    inventory: Path, *words: str, playbook: str = "site.yml", timeout: float = 600, **environment: str
) -> Run:
    """Run a playbook of this tree as from the checkout."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), playbook, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": os.environ["HOME"],
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            **environment,
        },
    )
    return Run(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def play() -> Callable[..., Run]:
    """Return the function that runs Ansible."""
    return run_playbook


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three nodes as they come from the rack; a cluster of our own, because the roles do not leave it so."""
    name = f"r{os.getpid() % 10**7}"
    try:
        yield lifecycle.up(name, 3, lambda sentence: sys.stderr.write(f"{sentence}\n"))
    finally:
        lifecycle.down(name)


@dataclass
class Passes:
    """site.yml on new nodes: looked at only, applied, applied again."""

    before: dict[str, str]
    between: dict[str, str]
    check: Run
    first: Run
    second: Run


def fingerprint(lab: Lab) -> dict[str, str]:
    """Return a hash of every file a role could have written, by node."""
    files = "find /etc /home /root -type f ! -path '*/.ansible/*' ! -name '.sudo_as*' -exec sha256sum {} + | sort"
    return {node.name: node.run(["sh", "-c", files]).stdout for node in lab.nodes}


@pytest.fixture(scope="session")
def passes(lab: Lab) -> Passes:
    """Apply site.yml as an operator does."""
    before = fingerprint(lab)
    check = run_playbook(lab.inventory, "--check", "--diff")
    between = fingerprint(lab)
    return Passes(before, between, check, run_playbook(lab.inventory, "--diff"), run_playbook(lab.inventory))


@dataclass
class Cluster:
    """The provisioned practice cluster, and how to break and mend it."""

    lab: Lab

    def on(self, name: str, script: str) -> str:
        """Run a script as root of a node, which has to succeed; return what it said."""
        done = self.lab.node(name).run(["sh", "-c", script], timeout=90)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def session(self, name: str, command: str) -> str:
        """Run a command in a new ssh session of the operator."""
        words = self.lab.ssh(self.lab.node(name), command)
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def user(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the job user of a node."""
        return self.lab.node(name).run(["su", "-", "ddl", "-c", command], timeout=90)

    def mend(self, role: str, *words: str, **environment: str) -> Run:
        """Apply one role."""
        return run_playbook(self.lab.inventory, "--tags", role, *words, **environment)

    def reaches(self, source: str, target: str) -> str:
        """Return what the target calls itself when the job user logs in from the source, or why he cannot."""
        done = self.user(source, f"ssh -o BatchMode=yes -o ConnectTimeout=5 {target} uname -n")
        return done.stdout.strip() if done.returncode == 0 else done.stderr


@pytest.fixture
def cluster(lab: Lab, passes: Passes) -> Cluster:
    """Return the provisioned cluster; what a test breaks, the roles mend."""
    assert passes.first.status == 0, passes.first.said[-4000:]
    return Cluster(lab)
