"""Up, down, twice, side by side, and killed half way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddlcheck.lab import Lab

pytestmark = pytest.mark.lab

Command = Callable[..., subprocess.CompletedProcess[str]]
Traces = Callable[[str], list[str]]


@pytest.fixture
def name(ddlcheck: Command) -> Iterator[str]:
    chosen = f"k{os.getpid() % 10**7}"
    yield chosen
    ddlcheck("down", "--name", chosen)


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.7])
def test_down_after_an_up_that_was_killed_leaves_nothing(
    lab: Lab, ddlcheck: Command, name: str, traces: Traces, delay: float
) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "ddlcheck", "lab", "up", "--name", name, "--nodes", "3"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(delay)
    up.send_signal(signal.SIGKILL)
    up.wait()
    done = ddlcheck("down", "--name", name)
    assert done.returncode == 0, done.stderr
    assert traces(name) == []
    assert lab.silent(10) == [], "the other lab was hurt"


def test_a_half_made_lab_is_named_and_not_built_upon(ddlcheck: Command, name: str) -> None:
    half = Path("/var/lib/ddlcheck/lab") / name
    half.mkdir()
    done = ddlcheck("up", "--name", name)
    assert done.returncode == 2
    assert done.stderr == f"ddlcheck: lab {name} is half made: `ddlcheck lab down --name {name}` first\n"


def test_two_labs_stand_side_by_side_and_end_apart(lab: Lab, ddlcheck: Command, name: str, traces: Traces) -> None:
    done = ddlcheck("up", "--name", name, "--nodes", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"inventory: /var/lib/ddlcheck/lab/{name}/inventory"
    other = Lab.load(name)
    assert not other.network.block.overlaps(lab.network.block)
    assert ddlcheck("ssh", "--name", name, "minsky1", "hostname").stdout == "minsky1\n"
    assert other.nodes[0].run(["ping", "-c", "1", "-W", "1", lab.nodes[0].address]).returncode != 0
    assert ddlcheck("down", "--name", name).returncode == 0
    assert traces(name) == []
    assert lab.silent(10) == []


def test_up_again_is_content_with_what_is_up(lab: Lab, ddlcheck: Command) -> None:
    done = ddlcheck("up", "--name", lab.name, "--nodes", "4")
    assert (done.returncode, done.stderr) == (0, f"lab: lab {lab.name} is up already\n")
    done = ddlcheck("up", "--name", lab.name, "--nodes", "3")
    assert done.returncode == 2
    assert "is up with 4 nodes, not 3" in done.stderr


def test_status_names_a_node_that_does_not_run(lab: Lab, ddlcheck: Command) -> None:
    assert ddlcheck("status", "--name", lab.name).returncode == 0
    lab.nodes[3].freeze()
    try:
        done = ddlcheck("status", "--name", lab.name)
    finally:
        lab.nodes[3].thaw()
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["running", "running", "running", "frozen"]


def test_down_detaches_a_loop_device_a_node_left(ddlcheck: Command, name: str, traces: Traces) -> None:
    assert ddlcheck("up", "--name", name, "--nodes", "1").returncode == 0
    script = "truncate -s 1M /root/left && losetup --find --show /root/left"
    device = Lab.load(name).nodes[0].run(["sh", "-c", script]).stdout.strip()
    assert device.startswith("/dev/loop")
    assert ddlcheck("down", "--name", name).returncode == 0
    assert traces(name) == []
    assert device not in subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout


def test_down_of_nothing_says_so(ddlcheck: Command) -> None:
    done = ddlcheck("down", "--name", "nosuch")
    assert (done.returncode, done.stderr) == (0, "lab: there was no lab nosuch\n")


def test_ssh_keeps_words_apart_and_passes_the_status_on(lab: Lab, ddlcheck: Command) -> None:
    done = ddlcheck("ssh", "--name", lab.name, "minsky2", "printf", "%s|", "a b", "$HOME")
    assert done.stdout == "a b|$HOME|"
    assert ddlcheck("ssh", "--name", lab.name, "minsky2", "exit 7").returncode == 7


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ssh", "minsky9", "true"], "has no node 'minsky9': it has minsky1 to minsky4"),
        (["ssh", "-oProxyCommand=x", "true"], ""),
    ],
    ids=["a node that is not there", "a node that looks like an option"],
)
def test_a_wrong_node_is_one_sentence(lab: Lab, ddlcheck: Command, words: list[str], sentence: str) -> None:
    done = ddlcheck(words[0], "--name", lab.name, *words[1:])
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
